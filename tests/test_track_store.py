"""Track stores: what goes in comes out again, what is not known is not 0, and bad files are refused in one line."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pyBigWig
import pysam
import pytest
from numpy.typing import NDArray

from semiseg.cli import console
from semiseg.cli.main import group
from semiseg.errors import SemisegError
from semiseg.formats import bins, text_spans
from semiseg.formats.source import open_source
from semiseg.formats.track_build import build
from semiseg.formats.track_file import open_store

SIZES = {"chr2": 1990, "chr1": 3005, "chrM": 40}
BIN = 20


def run(*words: object) -> int:
    """Exit status of a command."""
    return console.run(group, [str(word) for word in words])


@pytest.fixture(name="folder", scope="module")
def some_tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all formats, and what they say of every base."""
    folder = tmp_path_factory.mktemp("tracks")
    random = np.random.default_rng(4)
    (folder / "sizes").write_text("".join(f"{name}\t{length}\n" for name, length in SIZES.items()))
    truth: dict[str, NDArray] = {}
    rows, lines, beds = [], [], []
    for name in sorted(SIZES):
        length = SIZES[name]
        edges = np.unique(np.concatenate([[0, length], random.integers(0, length, length // 15)]))
        values = np.round(random.normal(0, 3, len(edges) - 1), 2)
        values[random.random(len(values)) < 0.3] = 0
        known = random.random(len(values)) < 0.7
        bases, depth = np.full(length, np.nan), np.zeros(length)
        for a, b, value, is_known in zip(edges[:-1], edges[1:], values, known, strict=True):
            if is_known:
                bases[a:b] = value
                rows.append((name, int(a), int(b), float(value)))
                lines.append(f"{name}\t{a}\t{b}\t{value}\n")
        for start in np.sort(random.integers(0, length - 1, length // 30)).tolist():
            end = int(min(length, start + random.integers(1, 200)))
            depth[start:end] += 1
            beds.append(f"{name}\t{start}\t{end}\n")
        truth[f"values {name}"], truth[f"depth {name}"] = bases, depth
    np.savez(folder / "truth.npz", **truth)
    with gzip.open(folder / "b.bedGraph.gz", "wt") as file:
        file.write("track type=bedGraph\n# a comment\n" + "".join(lines))
    (folder / "c.bed").write_text("".join(beds))
    with pyBigWig.open(str(folder / "a.bw"), "w") as wig:
        wig.addHeader(sorted(SIZES.items()))
        wig.addEntries(*(list(x) for x in list(zip(*rows, strict=True))[:2]), ends=[r[2] for r in rows],
                       values=[r[3] for r in rows])  # fmt: skip
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": n, "LN": SIZES[n]} for n in sorted(SIZES)]}
    with pysam.AlignmentFile(str(folder / "d.bam"), "wb", header=header) as bam:
        for line in beds:
            name, start, end = line.split()
            read = pysam.AlignedSegment(bam.header)
            read.reference_id, read.reference_start = sorted(SIZES).index(name), int(start)
            read.query_name, read.cigarstring = "r", f"{int(end) - int(start)}M"
            bam.write(read)
            read.flag = 0x400
            bam.write(read)  # a duplicate, which does not count
    return folder


def expected(folder: Path, kind: str, name: str) -> NDArray:
    """What every bin should have."""
    bases = np.load(folder / "truth.npz")[f"{kind} {name}"]
    parts = [bases[a : a + BIN] for a in range(0, len(bases), BIN)]
    return np.array([np.nan if np.isnan(part).all() else np.nanmean(part) for part in parts])


@pytest.mark.parametrize("small", [False, True])
def test_every_format_gives_its_values(
    folder: Path, tmp_path: Path, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if small:  # cut anywhere
        monkeypatch.setattr(bins, "WINDOW", 7)
        monkeypatch.setattr(bins, "AT_ONCE", 3)
        monkeypatch.setattr(text_spans, "BATCH", 5)
    files = ["a.bw", "b.bedGraph.gz", "c.bed", "d.bam"]
    words = [folder / name for name in files]
    assert run("tracks", "build", "-g", folder / "sizes", "--bin", BIN, *words, "-o", tmp_path / "t.h5") == 0
    source = open_source(tmp_path / "t.h5")
    assert source.channels == ("a", "b", "c", "d")
    assert source.bin == BIN
    assert [(s.name, s.end) for s in source.strips] == list(SIZES.items())
    for strip in source.strips:
        found = strip.read(0, strip.length)
        for column, kind in enumerate(("values", "values", "depth", "depth")):
            np.testing.assert_allclose(found[:, column], expected(folder, kind, strip.name), rtol=1e-5, atol=1e-6)
        assert (found[:, 0] == 0).any() or strip.name == "chrM"  # 0 is known
        np.testing.assert_array_equal(strip.read(1, 9)[:, 1:3], found[1:9, 1:3])
        one = open_source(tmp_path / "t.h5", channels=["c", "a"])
        np.testing.assert_array_equal(one.strips[0].read(0, 5), source.strips[0].read(0, 5)[:, [2, 0]])


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_what_is_not_known_is_not_zero(tmp_path: Path, dtype: str) -> None:
    (tmp_path / "sizes").write_text("a 100\nb 50\n")
    (tmp_path / "x.bg").write_text("a\t0\t10\t0\na\t10\t20\t7\na\t30\t40\tnan\nb\t40\t50\t254\n")
    build(tmp_path / "t.h5", tmp_path / "sizes", [tmp_path / "x.bg"], 10, dtype)
    a, b = (strip.read(0, strip.length)[:, 0] for strip in open_source(tmp_path / "t.h5").strips)
    np.testing.assert_array_equal(a, [0, 7, *[np.nan] * 8])
    np.testing.assert_array_equal(b, [*[np.nan] * 4, 254])


@pytest.mark.parametrize("name", ["a.bw", "a.bedGraph", "a.bedGraph.gz"])
def test_export_is_the_way_back(folder: Path, tmp_path: Path, name: str) -> None:
    words = ["-g", folder / "sizes", "--bin", BIN]
    assert run("tracks", "build", *words, folder / "a.bw", "-o", tmp_path / "t.h5", "--names", "x y") == 0
    assert run("tracks", "export", tmp_path / "t.h5", "x y", "-o", tmp_path / name) == 0
    assert run("tracks", "build", *words, tmp_path / name, "-o", tmp_path / "back.h5") == 0
    there, back = open_source(tmp_path / "t.h5"), open_source(tmp_path / "back.h5")
    for one, other in zip(there.strips, back.strips, strict=True):
        np.testing.assert_array_equal(one.read(0, one.length), other.read(0, other.length))


def test_info(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(tmp_path / "t.h5", folder / "sizes", [folder / "c.bed"], BIN, "uint8", ["depth"])
    assert run("tracks", "info", tmp_path / "t.h5") == 0
    assert "20\tuint8\tdepth\n" in capsys.readouterr().out
    assert run("tracks", "info", tmp_path / "t.h5", "--json") == 0
    assert '"chr1": 3005' in capsys.readouterr().out


def test_the_same_input_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("one.h5", "two.h5"):
        build(tmp_path / name, folder / "sizes", [folder / "a.bw", folder / "c.bed"], BIN)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


BAD = [
    ({"sizes": "chr1\t-5\n"}, "sizes, line 1: expected a name and a length above 0"),
    ({"sizes": "chr1\t100\nchr1\t100\n"}, "sizes, line 2: chr1 once more"),
    ({"sizes": ""}, "no contig in it"),
    ({"x.bg": "chr1\t0\t10\n"}, "x.bg, line 1: expected contig, start, end, value"),
    ({"x.bg": "chr1\t0\t10\t1\nchr1\t20\tx\t1\n"}, "x.bg, line 2: expected a whole number, found x"),
    ({"x.bg": "chr1\t-3\t10\t1\n"}, "x.bg, line 1: expected 0 <= start < end"),
    ({"x.bg": "chr1\t0\t10\tmuch\n"}, "line 1: expected a number, found much"),
    ({"x.bg": "chr1\t0\t10\tinf\n"}, "line 1: expected a finite value"),
    ({"x.bg": "chr1\t0\t101\t1\n"}, "beyond the end of chr1, which has 100 bases: another assembly?"),
    ({"x.bg": "chr1\t20\t30\t1\nchr1\t10\t15\t1\n"}, "x.bg, line 2: not sorted by contig and start"),
    ({"x.bg": "chr1\t0\t9\t1\nchr2\t0\t9\t1\nchr1\t20\t30\t1\n"}, "line 3: chr1 once more"),
    ({"x.bg": "1\t0\t10\t1\n"}, "x.bg: no sequence named chr1; there are 1: --partial takes it as not known"),
    ({"x.bg": ""}, "x.bg: nothing in it"),
    ({"x.bg": "chr1\t0\t10\tnan\n"}, "it says nothing about any of the contigs"),
    ({"x.bg": "chr1\t0\t10\t-1\n", "--dtype": "uint8"}, "chr1: -1 does not fit into uint8"),
    ({"x.bg": "chr1\t0\t10\t1e9\n", "--dtype": "float16"}, "chr1: 1e+09 does not fit into float16"),
    ({"--names": "a,b"}, "--names: expected 1 names, one a file, found 2"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "said"), BAD)
def test_bad_text_is_refused(
    tmp_path: Path, what: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"sizes": "chr1\t100\n", "x.bg": "chr1\t0\t10\t1\n", **what}
    for name in ("sizes", "x.bg"):
        (tmp_path / name).write_text(given.pop(name))
    options = [word for pair in given.items() for word in pair]
    before = sorted(tmp_path.iterdir())
    words = ["-g", tmp_path / "sizes", tmp_path / "x.bg", "-o", tmp_path / "t.h5", "--bin", 10, *options]
    assert run("tracks", "build", *words) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_bigwig_is_refused_or_says_the_same(folder: Path, tmp_path: Path) -> None:
    """One wrong byte, anywhere; the library alone would end the process, or leave out blocks without a word."""
    whole, random = (folder / "a.bw").read_bytes(), np.random.default_rng(5)
    build(tmp_path / "whole.h5", folder / "sizes", [folder / "a.bw"], BIN)
    values = [strip.read(0, strip.length) for strip in open_source(tmp_path / "whole.h5").strips]
    index = int.from_bytes(whole[24:32], "little")
    places = [*range(64), *random.integers(64, len(whole), 100), *random.integers(index, index + 112, 40)]
    refused = 0
    for at in places:
        (tmp_path / "b.bw").write_bytes(whole[:at] + bytes([whole[at] ^ random.integers(1, 256)]) + whole[at + 1 :])
        try:
            build(tmp_path / "t.h5", folder / "sizes", [tmp_path / "b.bw"], BIN)
        except SemisegError:
            refused += 1
            continue
        for strip, expected in zip(open_source(tmp_path / "t.h5").strips, values, strict=True):
            np.testing.assert_array_equal(strip.read(0, strip.length), expected)
    assert refused > 60


def test_bad_binaries_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "sizes").write_text("chr1\t3000\n")
    whole = {name: (folder / name).read_bytes() for name in ("a.bw", "d.bam")}
    (tmp_path / "cut.bw").write_bytes(whole["a.bw"][:200])
    (tmp_path / "text.bw").write_bytes(b"no bigWig" * 100)
    (tmp_path / "cut.bam").write_bytes(whole["d.bam"][: len(whole["d.bam"]) // 2])
    (tmp_path / "text.bam").write_bytes(b"no BAM\n" * 100)
    for path, said in [
        (folder / "a.bw", "chr1 has 3005 bases, in the sizes 3000: another assembly?"),
        (folder / "d.bam", "chr1 has 3005 bases, in the sizes 3000: another assembly?"),
        (tmp_path / "cut.bw", "cannot be read as bigWig"), (tmp_path / "text.bw", "cannot be read as bigWig"),
        (tmp_path / "text.bam", "cannot be read as BAM"), (tmp_path / "none.bam", "no such file"),
        (folder / "sizes", "expected a name that ends in .bw"),
    ]:  # fmt: skip
        with pytest.raises(SemisegError, match=said):
            build(tmp_path / "t.h5", tmp_path / "sizes", [path])
    (tmp_path / "other").write_text("chr1\t3005\nchrX\t10\n")
    with pytest.raises(SemisegError, match="cannot be read as BAM"):
        build(tmp_path / "t.h5", folder / "sizes", [tmp_path / "cut.bam"])
    with pytest.raises(SemisegError, match="no sequence named chrX"):
        build(tmp_path / "t.h5", tmp_path / "other", [folder / "a.bw"])
    build(tmp_path / "t.h5", tmp_path / "other", [folder / "a.bw", folder / "b.bedGraph.gz"], partial=True)
    assert np.isnan(open_source(tmp_path / "t.h5").strips[1].read(0, 1)).all()
    assert not list(tmp_path.glob(".unfinished*"))


def test_other_hdf5_is_read_by_dataset(tmp_path: Path) -> None:
    values = np.arange(40.0).reshape(20, 2)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["deep/two"], file["one"] = values, values[:, 0].astype(np.int16)
    source = open_source(tmp_path / "x.h5", dataset="deep/two", rate=5.0, channels=["2"])
    assert (source.rate, source.bin, source.channels) == (5.0, 1, ("2",))
    np.testing.assert_array_equal(source.strips[0].read(3, 7), values[3:7, 1:])
    assert open_source(tmp_path / "x.h5", dataset="one").strips[0].read(0, 20).shape == (20, 1)
    for dataset, said in [(None, "give --dataset, one of deep/two, one"), ("no", "no dataset no; there are deep/two")]:
        with pytest.raises(SemisegError, match=said):
            open_source(tmp_path / "x.h5", dataset=dataset)
    with pytest.raises(SemisegError, match="has no z; there are 1, 2"):
        open_source(tmp_path / "x.h5", dataset="deep/two", channels=["z"])


def test_hdf5_from_strangers(folder: Path, tmp_path: Path) -> None:
    build(tmp_path / "t.h5", folder / "sizes", [folder / "c.bed"], BIN)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(50)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["out"] = h5py.ExternalLink("other.h5", "/x")
        file["soft"] = h5py.SoftLink("/out")
        layout = h5py.VirtualLayout((50,), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (50,))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (50,), "f8", external=[(str(tmp_path / "raw"), 0, 400)])
        file.create_dataset("packed", data=np.arange(50), chunks=(50,), scaleoffset=0)
        file["text"], file["cube"] = "abc", np.zeros((2, 2, 2))
        file.create_dataset("wide", (1 << 27,), "f8", chunks=(1 << 27,))
    for dataset, said in [
        ("out", "link to elsewhere"), ("soft", "link to elsewhere"), ("virtual", "lie in other files"),
        ("raw", "lie in other files"), ("packed", "repack it"), ("text", "expected numbers"),
        ("cube", "expected shape"), ("wide", "chunks have 1024 MiB"),
    ]:  # fmt: skip
        with pytest.raises(SemisegError, match=f"^(?!.*damaged).*{said}"):
            open_source(tmp_path / "x.h5", dataset=dataset)
    whole = (tmp_path / "t.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.h5").write_text("no HDF5")
    for name, said in [("cut.h5", "may be damaged or cut off"), ("text.h5", "not HDF5"), ("none.h5", "no such file")]:
        with pytest.raises(SemisegError, match=said):
            open_source(tmp_path / name)
    with h5py.File(tmp_path / "t.h5", "a") as file:
        file["contigs/length"][0] = 77
    with pytest.raises(SemisegError, match=r"damaged: chr2, of 77 bases, has values of shape \(100, 1\)"):
        open_store(tmp_path / "t.h5")
    with h5py.File(tmp_path / "t.h5", "a") as file:
        file.attrs["version"] = 2
    with pytest.raises(SemisegError, match="newer semiseg"):
        open_store(tmp_path / "t.h5")


def test_binarised_marks(tmp_path: Path) -> None:
    (tmp_path / "A_chr1_binary.txt").write_text("A\tchr1\nm1\tm2\n0\t1\n2\t0\n1\t1")
    (tmp_path / "A_chr2_binary.txt").write_bytes(b"A\tchr2\r\nm1\tm2\r\n1\t1\r\n")
    source = open_source(tmp_path)
    assert (source.channels, source.bin) == (("m1", "m2"), 200)
    assert [(s.name, s.length, s.end) for s in source.strips] == [("chr1", 3, 600), ("chr2", 1, 200)]
    np.testing.assert_array_equal(source.strips[0].read(0, 3), [[0, 1], [np.nan, 0], [1, 1]])
    with gzip.open(tmp_path / "B_chr1_binary.txt.gz", "wt") as file:
        file.write("B\tchr1\nm1\tm2\n1\t0\n")
    assert [s.name for s in open_source(tmp_path).strips] == ["A_chr1", "A_chr2", "B_chr1"]
    assert open_source(tmp_path / "B_chr1_binary.txt.gz").strips[0].name == "chr1"
    for text, said in [
        ("A\tchr1\nm1\tm2\n0\t1\n0\t3\n", "line 4: expected 2 marks, each 0, 1 or 2"),
        ("A\tchr1\nm1\tm2\n0\t1\n0\n0\t1\n", "line 4: expected 2 marks"),
        ("A\tchr1\nm1\tm3\n0\t1\n", "its marks are m1, m3, those of"),
        ("A\tchr1\nm1\tm2\n", "no bin in it"), ("A\n", "expected the cell type"),
        ("A\tchr2\nm1\tm2\n0\t1\n", "A_chr2 is in another file too"),
    ]:  # fmt: skip
        (tmp_path / "Z_binary.txt").write_text(text)
        with pytest.raises(SemisegError, match=said):
            open_source(tmp_path)


def test_files_that_are_no_signals(tmp_path: Path) -> None:
    (tmp_path / "x.fa").write_text(">a\nACGT\n")
    (tmp_path / "x.odd").write_text("odd\n")
    for name, said in [("x.fa", "FASTA, not signals"), ("x.odd", "expected a track store"), ("-", "from a file")]:
        with pytest.raises(SemisegError, match=said):
            open_source(Path("-") if name == "-" else tmp_path / name)
