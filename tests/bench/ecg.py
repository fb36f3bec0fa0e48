"""The ecg model on recordings that it has not learnt from, at several sampling rates, and its speed: results/ecg.csv.

    python tests/bench/ecg.py FOLDER FOLDS [CHANNEL ...]

FOLDER is what tests/bench/ludb.py wrote. FOLDS are the models that `semiseg train --folds` left beside the bundled one
(`ecg.safetensors.folds`): each is judged on the recordings that it has not seen, so every recording is judged once.
Scores are of all channels, or of those named: F1 of onsets and offsets, of intervals, deviation of offsets, P waves
that are called where truth has none, the error of posteriors calibrated on the other half of the calls. Speed is that
of the bundled model on one long channel, all of it: samples, encoder, path, posteriors, ends.
"""

import argparse
import time
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from measure import machine
from record import record, show

from semiseg import bundled, segmenter
from semiseg.interval_scores import absent, in_positions
from semiseg.intervals import Segment, compare
from semiseg.resampling import positions, resampled
from semiseg.segmenter import Segmenter
from semiseg.signal_corpus import dealt, read
from semiseg.signal_trainer import calibrated, decoded, figures
from semiseg.signal_windows import Lead, stretch

RATES = (500, 250, 1000)
MINUTES = 60  # of the recording whose speed is told,
REPEATS = 7  # the median of so many
TOLERANCES = (150.0, 40.0)  # milliseconds
Judged = list[tuple[Segmenter, Lead, list[Segment]]]  # with what is true


def at_rate(lead: Lead, rate: int) -> Lead:
    """Return a channel at another rate; a rate that is higher brings nothing new."""
    ratio = Fraction(int(lead.rate or 0), rate)
    x = resampled(partial(stretch, lead.values), len(lead.values), ratio, 0, positions(len(lead.values), ratio))
    return lead._replace(values=x, rate=float(rate))


def scored(judged: Judged, rate: int) -> dict[str, object]:
    """Return figures of calls on channels at a rate."""
    true, calls = {}, {}
    for model, lead, truth in judged:
        factor = rate / (lead.rate or rate)
        true[lead.name] = [s._replace(start=round(s.start * factor), end=round(s.end * factor)) for s in truth]
        calls[lead.name] = decoded(model, at_rate(lead, rate) if rate != lead.rate else lead)
    wide, narrow = (in_positions(x, rate) for x in TOLERANCES)
    agreement = compare(true, calls, [wide, narrow], in_positions(20, rate))
    records = {lead.record for _, lead, _ in judged}
    row: dict[str, object] = {"rate": rate, "records": len(records), "channels": len(judged)}
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
    row["ece"] = calibrated(agreement)[1]["ece"]
    return row


def speed(model: Segmenter, lead: Lead) -> dict[str, object]:
    """Return how much faster than real time a long channel is decoded, with posteriors, on so many cores."""
    times = -(-MINUTES * 60 * int(lead.rate or 0) // len(lead.values))
    long = lead._replace(values=np.tile(lead.values, times))
    decoded(model, lead._replace(values=np.tile(lead.values, 20)))  # compiles
    walls, busy = [], []
    for _ in range(REPEATS):
        start, before = time.perf_counter(), time.process_time()
        decoded(model, long)
        walls.append(time.perf_counter() - start)
        busy.append(time.process_time() - before)
    seconds = len(long.values) / (lead.rate or 1.0)
    return {"rate": int(lead.rate or 0), "channels": 1, "minutes": MINUTES, "threads": torch.get_num_threads(),
            "real_times": seconds / median(walls), "real_times_best": seconds / min(walls),
            "real_times_a_cpu_second": seconds / median(busy)}  # fmt: skip


def unseen(folder: Path, folds: Path, channels: list[str]) -> Judged:
    """Return every channel with the model that is to be judged on it."""
    models = [segmenter.load(folds / f"{i + 1}.safetensors") for i in range(len(list(folds.glob("*.safetensors"))))]
    splits = dealt(read(folder / "recordings.h5", folder / "labels.bed"), len(models))
    for model, corpus in zip(models, splits, strict=True):
        assert model.about["validated_on"] == corpus.aside, f"{folds}: of other recordings"
    return [
        (model, lead, corpus.truth[lead.name])
        for model, corpus in zip(models, splits, strict=True)
        for lead in corpus.validation
        if not channels or lead.name.split("_")[-1] in channels
    ]


def main(folder: Path, folds: Path, channels: list[str]) -> None:
    """Record all figures; those of some channels are only shown."""
    judged = unseen(folder, folds, channels)
    model = segmenter.load(bundled.find("ecg"))
    rows = []
    for row in (partial(speed, model, judged[0][1]), *(partial(scored, judged, x) for x in RATES)):
        rows.append(row())
        print(show(rows[-1]), flush=True)
    if not channels:
        record("ecg", machine(), rows)


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("folder", type=Path)
    asked.add_argument("folds", type=Path)
    asked.add_argument("channels", nargs="*")
    given = asked.parse_args()
    main(given.folder, given.folds, given.channels)
