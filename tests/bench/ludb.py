"""The Lobachevsky University database as `semiseg train` takes it: recordings.h5 and labels.bed.

    python tests/bench/ludb.py LUDB FOLDER      LUDB: the folder with N.hea, N.dat and an annotation a lead, N.<lead>

A wave that the cardiologist gave only one end is unknown, with all from the wave before to the wave behind it.
"""

import sys
from pathlib import Path

import h5py
import numpy as np
import wfdb

from semiseg.formats.recordings import open_recordings

WAVES = {"p": "P", "N": "QRS", "t": "T"}


def main(ludb: Path, folder: Path) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    source = open_recordings(ludb)
    with h5py.File(folder / "recordings.h5", "w") as file:
        for strip in source.strips:
            values = strip.read(0, strip.length).astype(np.float16)
            made = file.create_dataset(strip.name, data=values, compression="gzip", shuffle=True)
            made.attrs.update(rate=strip.rate, channels=list(strip.channels))
    with (folder / "labels.bed").open("w") as bed:
        for strip in source.strips:
            for channel in strip.channels:
                for start, end, name in rows(wfdb.rdann(str(ludb / strip.name), channel)):
                    print(f"{strip.name}_{channel}", start, end, name, sep="\t", file=bed)


def rows(annotation: wfdb.Annotation) -> list[tuple[int, int, str]]:
    """Return start, end and name of every wave, and of what is unknown."""
    marks = list(zip(annotation.sample.tolist(), annotation.symbol, strict=True))
    out: list[tuple[int, int, str]] = []
    unknown = None  # since when
    for i, (at, symbol) in enumerate(marks):
        if symbol not in WAVES:
            continue
        start = marks[i - 1][0] if i and marks[i - 1][1] == "(" else None
        end = marks[i + 1][0] + 1 if i + 1 < len(marks) and marks[i + 1][1] == ")" else None
        if start is None or end is None:
            unknown = (out[-1][1] if out else at) if unknown is None else unknown
            continue
        if unknown is not None:
            out += [(unknown, start, ".")] if unknown < start else []
            unknown = None
        out.append((start, end, WAVES[symbol]))
    return out


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
