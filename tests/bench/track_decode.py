"""Ten tracks of a genome in bins, decoded by a model of ten states in constant memory: results/track_decode.csv.

    python tests/bench/track_decode.py [MILLIONS ...]      of bins, by default 1 and 4

Each length is a process of its own, one thread, over the whole command: store in, BED with all posteriors out.
"""

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from measure import apart, forget_peak, machine, peak_mib
from record import record, show

from semiseg import hsmm_model
from semiseg.asked import Asked, Reading, call
from semiseg.emissions import family
from semiseg.formats.source import open_source
from semiseg.formats.track_store import CODINGS, Layout, StoreFile
from semiseg.genome import Settings
from semiseg.hsmm import Hsmm, no_self, sample
from semiseg.hsmm_durations import make
from semiseg.survey import Survey

STATES, TRACKS, BIN, MEAN, LONGEST = 10, 10, 200, 20.0, 32
PIECE = 1 << 20  # bins that are drawn, and then repeated
FEW = 20_000  # bins that compile everything first


def main(millions: list[float]) -> None:
    """Measure and record."""
    rows = []
    for length in millions:
        row = {"bins": round(length * 1e6), **apart("track_decode.py", "once", round(length * 1e6))}
        rows.append(row)
        print(show(row), flush=True)
    record("track_decode", machine(), rows)


def once(bins: int) -> None:
    """Decode a store of so many bins, and print seconds, segments and peak memory."""
    torch.set_num_threads(1)
    with TemporaryDirectory() as name:
        folder = Path(name)
        hsmm, survey = planted()
        x, _ = sample(hsmm, min(bins, PIECE))
        for length in (FEW, bins):
            written(folder / f"{length}.h5", x.numpy().astype(np.uint8), length)
        about = {"data": "simulated"}
        source = open_source(folder / f"{FEW}.h5")
        model = hsmm_model.build(hsmm, survey, source, "bernoulli", {}, "lognormal", LONGEST, about)
        hsmm_model.save(folder / "model.safetensors", model)
        for length in (FEW, bins):
            forget_peak()
            begun = time.process_time()
            output = folder / f"{length}.bed"
            call(Asked(folder / f"{length}.h5", str(folder / "model.safetensors"), Settings(torch.device("cpu")),
                       reading=Reading(), output=output))  # fmt: skip
            seconds = time.process_time() - begun
        with output.open() as file:
            segments = sum(not line.startswith("#") for line in file)
        print(json.dumps({"cpu_s": seconds, "bins_per_cpu_s": bins / seconds, "segments": segments,
                          "peak_mib": peak_mib()}))  # fmt: skip


def planted() -> tuple[Hsmm, Survey]:
    """Return a model of marks that are often there in some states."""
    random = np.random.default_rng(0)
    p = torch.from_numpy(random.beta(0.4, 1.2, (STATES, TRACKS)).clip(0.01, 0.99))
    one, none = np.ones(TRACKS), np.zeros(TRACKS)
    survey = Survey(tuple(f"mark{i}" for i in range(TRACKS)), one, one / 2, one / 4, none, one, one > 0)
    law = make("lognormal", STATES, LONGEST)
    law.around(torch.full((STATES,), MEAN, dtype=torch.float64))
    even = torch.full((STATES,), 1 / STATES, dtype=torch.float64)
    return Hsmm(family("bernoulli", survey), law, even, no_self(torch.ones(STATES, STATES).double()), {"p": p}), survey


def written(path: Path, values: np.ndarray, bins: int) -> None:
    """Write a store of values, over and over."""
    layout = Layout([f"mark{i}" for i in range(TRACKS)], [("one", bins * BIN)], BIN)
    store = StoreFile(path, layout, CODINGS["uint8"], TRACKS)
    for a in range(0, bins, len(values)):
        store.values("one")[a : a + len(values)] = values[: bins - a]
    store.close()
    store.raise_error()


if __name__ == "__main__":
    if sys.argv[1:2] == ["once"]:
        once(int(sys.argv[2]))
    else:
        main([float(x) for x in sys.argv[1:]] or [1, 4])
