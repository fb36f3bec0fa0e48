"""`semiseg posteriors`: tracks are the marginals of the whole contig, in every form."""

import gzip
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyBigWig
import pytest
from decoding import LENGTHS, Rows, all_rows, dna, names, rows_of, run, same, short_flanks, some_contigs, untrained  # noqa: F401 - fixtures
from numpy.typing import NDArray
from planted import CONFIG

from semiseg import finder
from semiseg.decode import score
from semiseg.gene_model import GeneModel
from semiseg.gene_tracks import label_name, track_names
from semiseg.kernels import marginals
from semiseg.sites import SITES


def naive_tracks(model: GeneModel, letters: NDArray) -> NDArray:
    """Tracks of a contig in one go."""
    g = model.grammar
    found = marginals(score(model, [letters], "cpu"), want=("position", "boundaries"))
    columns = track_names(g)
    out = np.zeros((len(letters), len(columns)))
    for label, column in zip(g.labels, found.position.T.numpy(), strict=True):
        out[:, columns.index(label_name(label))] += column
    for site, column in zip(g.type_sites, found.boundaries[0][:-1].T.numpy(), strict=True):
        out[:, columns.index(SITES[site])] += column
    labels = out[:, : columns.index(SITES[0])]
    out[:, -1] = -(labels * np.log2(np.maximum(labels, 1e-300))).sum(1)
    return out


def read_hdf5(where: Path, name: str, length: int) -> NDArray:
    """Tracks of a contig."""
    with h5py.File(where) as file:
        return file[f"values/{name}"][:] / 1000


def read_folder(where: Path, name: str, length: int, read: Callable[[Path], NDArray]) -> NDArray:
    """Tracks of a contig from a file each."""
    tracks = track_names(GeneModel(CONFIG).grammar)
    suffix = next(path.name.partition(".")[2] for path in where.iterdir() if not path.name.endswith("tbi"))
    return np.stack([read(where / f"{track}.{suffix}") for track in tracks], 1)


def read_bigwig(where: Path, name: str, length: int) -> NDArray:
    def read(path: Path) -> NDArray:
        with pyBigWig.open(str(path)) as file:
            return (
                np.nan_to_num(file.values(name, 0, length, numpy=True)) if name in file.chroms() else np.zeros(length)
            )

    return read_folder(where, name, length, read)


def read_bedgraph(where: Path, name: str, length: int) -> NDArray:
    def read(path: Path) -> NDArray:
        out = np.zeros(length)
        for contig, start, end, value in rows_of(gzip.decompress(path.read_bytes()).decode()):
            if contig == name:
                out[int(start) : int(end)] = float(value)
        return out

    return read_folder(where, name, length, read)


TRACKS = {
    "hdf5": ("x.h5", [], read_hdf5),
    "bigwig": ("x", [], read_bigwig),
    "bedgraph": ("x", ["--format", "bedgraph"], read_bedgraph),
}


@pytest.mark.parametrize("form", TRACKS)
def test_tracks_are_the_marginals(form: str, model: Path, genome: Path, tmp_path: Path) -> None:
    name, asked, read = TRACKS[form]
    assert run("posteriors", genome, "--model", model, "-o", tmp_path / name, *asked, "-q") == 0
    known = finder.load(model).model
    labels = track_names(known.grammar).index(SITES[0])
    for seed, (contig, length) in enumerate(LENGTHS.items()):
        if length:
            found = read(tmp_path / name, contig, length)
            np.testing.assert_allclose(found, naive_tracks(known, dna(length, seed)), atol=1e-3)
            np.testing.assert_allclose(found[:, :labels].sum(1), 1, atol=0.0005 * labels + 1e-6)


@pytest.mark.usefixtures("near")
@pytest.mark.parametrize("form", TRACKS)
def test_tracks_of_regions(form: str, model: Path, genome: Path, tmp_path: Path) -> None:
    name, asked, read = TRACKS[form]
    regions = ["-r", "long:3001-4000", "-r", "long:9001-9100", "-r", "other:3001-4000"]
    assert run("posteriors", genome, "--model", model, "-o", tmp_path / name, *asked, *regions, "-q") == 0
    known = finder.load(model).model
    inside = {"long": [(3000, 4000), (9000, 9100)], "other": [(3000, 4000)]}
    for seed, (contig, length) in enumerate(LENGTHS.items()):
        if contig in inside:
            found, expected = read(tmp_path / name, contig, length), naive_tracks(known, dna(length, seed))
            kept = np.zeros(length, bool)
            for start, end in inside[contig]:
                kept[start:end] = True
            np.testing.assert_allclose(found[kept], expected[kept], atol=1e-3)
            assert not found[~kept].any()


def test_calls_and_tracks_in_one_pass(model: Path, genome: Path, whole: Rows, tmp_path: Path) -> None:
    asked = ["decode", genome, "--model", model, "-o", tmp_path / "x.bed", "--posteriors", tmp_path / "x.h5", "-q"]
    assert run(*asked) == 0
    same(rows_of((tmp_path / "x.bed").read_text()), whole)
    assert names(tmp_path) == ["x.bed", "x.h5"]
