"""The ecg model on recordings that it was not trained on, at several sampling rates, and its speed: results/ecg.csv.

    python tests/bench/ecg.py FOLDER [--model FILE] [CHANNEL ...]      FOLDER: what tests/bench/ludb.py wrote

Scores are of all channels, or of those named: F1 of onsets and offsets, of intervals, deviation of offsets, P waves
that are called where truth has none. Speed is of one long channel, all of it: samples, encoder, path, posteriors, ends.
"""

import argparse
import time
from datetime import date
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch

import semiseg
from semiseg import bundled, segmenter
from semiseg.bench.record import record, show
from semiseg.interval_scores import absent, in_positions
from semiseg.intervals import Segment, compare
from semiseg.reliability import measure
from semiseg.resampling import positions, resampled
from semiseg.segmenter import Segmenter
from semiseg.signal_corpus import gather
from semiseg.signal_trainer import decoded, figures
from semiseg.signal_windows import Lead, stretch

RATES = (500, 250, 1000)
MINUTES = 60  # of the recording whose speed is told
TOLERANCES = (150.0, 40.0)  # milliseconds


def at_rate(lead: Lead, rate: int) -> Lead:
    """Return a channel at another rate; a rate that is higher brings nothing new."""
    ratio = Fraction(int(lead.rate or 0), rate)
    x = resampled(partial(stretch, lead.values), len(lead.values), ratio, 0, positions(len(lead.values), ratio))
    return lead._replace(values=x, rate=float(rate))


def scored(model: Segmenter, leads: list[Lead], truth: dict[str, list[Segment]], rate: int) -> dict[str, object]:
    """Return figures of calls on channels at a rate."""
    factor = rate / (leads[0].rate or rate)
    true = {
        lead.name: [s._replace(start=round(s.start * factor), end=round(s.end * factor)) for s in truth[lead.name]]
        for lead in leads
    }
    calls = {lead.name: decoded(model, at_rate(lead, rate) if rate != lead.rate else lead) for lead in leads}
    wide, narrow = (in_positions(x, rate) for x in TOLERANCES)
    agreement = compare(true, calls, [wide, narrow], in_positions(20, rate))
    row: dict[str, object] = {"rate": rate, "channels": len(leads)}
    for name, level in agreement.names.items():
        for side in level.errors:
            row[f"{name}_{side}_150"] = level.ends[side, wide].f1
        row[f"{name}_offset_sd_ms"] = level.errors["offset"].deviation * 1000 / rate
        row[f"{name}_interval"] = level.interval.f1
    for tolerance in (wide, narrow):
        ends = [level.ends[side, tolerance].f1 for level in agreement.names.values() for side in level.errors]
        row[f"mean_{tolerance * 1000 / rate:g}"] = float(np.mean(ends))
    row["mean_interval"] = figures(agreement)[0]
    none = absent("P", true, calls)
    row["p_without_p"] = none.called / max(1, none.beside["QRS"])
    belief, right = (np.array([getattr(j, x) for j in agreement.judged]) for x in ("posterior", "right"))
    row["ece"] = measure(belief, right, len(right)).ece
    return row


def speed(model: Segmenter, lead: Lead) -> dict[str, object]:
    """Return how much faster than real time a long channel is decoded, with posteriors, on so many cores."""
    times = -(-MINUTES * 60 * int(lead.rate or 0) // len(lead.values))
    long = lead._replace(values=np.tile(lead.values, times))
    decoded(model, lead._replace(values=np.tile(lead.values, 20)))  # compiles
    wall, busy = time.perf_counter(), time.process_time()
    decoded(model, long)
    seconds = len(long.values) / (lead.rate or 1.0)
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    return {"rate": int(lead.rate or 0), "channels": 1, "minutes": MINUTES, "threads": torch.get_num_threads(),
            "real_times": seconds / wall, "real_times_a_cpu_second": seconds / busy}  # fmt: skip


def main(folder: Path, channels: list[str], path: str = "ecg") -> None:
    """Record all figures of the bundled model; those of another are only shown."""
    corpus = gather(folder / "recordings.h5", folder / "labels.bed", (folder / "validation.txt").read_text().split())
    leads = [x for x in corpus.validation if not channels or x.name.split("_")[-1] in channels]
    model = segmenter.load(bundled.find(path))
    context = {"date": date.today().isoformat(), "semiseg": semiseg.__version__, "torch": torch.__version__}
    rows = []
    for row in (partial(speed, model, leads[0]), *(partial(scored, model, leads, corpus.truth, x) for x in RATES)):
        rows.append(row())
        print(show(rows[-1]), flush=True)
    if path == "ecg":
        record("ecg", context, rows)


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("folder", type=Path)
    asked.add_argument("channels", nargs="*")
    asked.add_argument("--model", default="ecg")
    given = asked.parse_args()
    main(given.folder, given.channels, given.model)
