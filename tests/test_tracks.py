"""Tracks of posteriors: every form gives back what was pushed, however it was cut, and nothing half done stays."""

import errno
import gzip
import os
import resource
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pyBigWig
import pysam
import pytest
from numpy.typing import NDArray

from semiseg.errors import SemisegError
from semiseg.formats import bigwig
from semiseg.formats.run_files import QUEUED, RunFinder
from semiseg.formats.tracks import FORMS, SLICE, TrackSink, file_names, open_tracks, thousandths

NAMES = ("exon +", "empty", "a/b", "a b")
FILES = ("exon_+", "empty", "a_b", "a_b_2")
CONTIGS = (("chr10", 70_000), ("chr2", 1), ("never/begun", 500), ("chr1", 3000), ("never added to", 40), ("a", 200_000))
COMMENTS = ("semiseg 1.0", "model\tof two\nlines")

Run = tuple[int, int, int]  # start, end, thousandths


class Pushed(NamedTuple):
    """What went in."""

    values: dict[str, NDArray[np.float32]]  # (T, tracks); contigs that were begun


def random_values(seed: int = 1) -> Pushed:
    """Piecewise constant posteriors, some rounded to 0, some neighbours equal only when rounded."""
    random = np.random.default_rng(seed)
    values = {}
    for name, length in CONTIGS:
        if not name.startswith("never"):
            parts = random.choice([0, 1e-4, 0.0007, 0.25, 0.2501, 0.999, 1, 3.7], (length, len(NAMES)))
            spread = np.repeat(parts, random.integers(1, 60, length), axis=0)[:length].astype(np.float32)
            spread[:, NAMES.index("empty")] = 0.0004
            values[name] = spread
    return Pushed(values)


def push(sink: TrackSink, pushed: Pushed, seed: int = 2) -> None:
    """Push everything in stretches of random sizes."""
    random = np.random.default_rng(seed)
    for name, length in CONTIGS:
        if name == "never added to":
            sink.contig(name, length)
        elif name in pushed.values:
            sink.contig(name, length)
            start = 0
            while start < length:
                step = int(random.choice([0, 1, 7, 1000, 65_536, 100_000]))
                sink.add(start, pushed.values[name][start : start + step])
                start = min(start + step, length)


def naive_runs(column: NDArray) -> list[Run]:
    """Runs of equal thousandths other than 0."""
    runs, start = [], 0
    for value, group in groupby(thousandths(column).tolist()):
        end = start + len(list(group))
        if value:
            runs.append((start, end, value))
        start = end
    return runs


def write(where: Path, form: str, pushed: Pushed, seed: int = 2) -> None:
    sink = open_tracks(where, form, NAMES, CONTIGS, COMMENTS)
    push(sink, pushed, seed)
    assert all(path.name.startswith(".unfinished-") for path in (where if where.exists() else where.parent).iterdir())
    sink.close()
    sink.abort()  # nothing left to remove


def contents(where: Path) -> dict[str, bytes]:
    """All files."""
    paths = [where] if where.is_file() else sorted(where.iterdir())
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def pushed() -> Pushed:
    return random_values()


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_thousandths_of_what_is_no_posterior() -> None:
    np.testing.assert_array_equal(
        thousandths(np.array([-1e-9, 0.0004, 0.0006, 1.0000001, 65.5])), [0, 0, 1, 1000, 65500]
    )
    for wrong in (np.nan, np.inf, -0.1, 66.0):
        with pytest.raises(ValueError, match=r"from 0 to 65\.535"):
            thousandths(np.array([0.5, wrong]))


def test_runs_do_not_depend_on_the_cuts() -> None:
    random = np.random.default_rng(3)
    for _ in range(200):
        column = np.repeat(random.integers(0, 3, 30), random.integers(1, 4, 30)).astype(np.uint16)
        cuts = np.unique([0, *random.integers(1, len(column), 6), len(column)])
        finder = RunFinder("c")
        parts = [finder.put(low, column[low:high]) for low, high in pairwise(cuts.tolist())]
        parts.append(finder.finish())
        found = [run for part in parts for run in zip(*(x.tolist() for x in part[1:]), strict=True)]
        assert found == naive_runs(column / 1000)


def test_runs_are_found_quickly() -> None:
    random = np.random.default_rng(4)
    values = np.repeat(random.random((10_000, 40), np.float32), 25, axis=0)
    start = time.process_time()
    finders = [RunFinder("c") for _ in range(40)]
    for low in range(0, len(values), SLICE):
        for finder, column in zip(finders, np.ascontiguousarray(thousandths(values[low : low + SLICE]).T), strict=True):
            finder.put(low, column)
    assert time.process_time() - start < 2  # a quarter of a million positions


def test_file_names_are_safe_and_different() -> None:
    assert file_names([*NAMES, "a_b_2", "é\u00a0x"], ".bw") == [f"{name}.bw" for name in (*FILES, "a_b_2_2", "é_x")]


def test_bigwig(tmp_path: Path, pushed: Pushed, capfd: pytest.CaptureFixture) -> None:
    write(tmp_path / "out", "bigwig", pushed)
    assert sorted(contents(tmp_path / "out")) == sorted(f"{name}.bw" for name in FILES)
    for track, name in enumerate(FILES):
        with pyBigWig.open(str(tmp_path / "out" / f"{name}.bw")) as file:
            if name == "empty":
                assert file.chroms() == {"chr10": 70_000}
                assert file.intervals("chr10") == ((0, 1, 0.0),)
                continue
            expected = {contig: naive_runs(column[:, track]) for contig, column in pushed.values.items()}
            assert file.chroms() == {contig: length for contig, length in CONTIGS if expected.get(contig)}
            for contig in file.chroms():
                assert file.intervals(contig) == tuple((a, b, np.float32(v / 1000)) for a, b, v in expected[contig])
            covered = thousandths(pushed.values["a"][:, track])
            mean = file.stats("a", 0, 200_000, type="mean")[0]  # of the zoomed values: not exact
            assert mean == pytest.approx(covered[covered > 0].mean() / 1000, rel=0.05)
    assert capfd.readouterr() == ("", "")


def test_bigwig_of_many_contigs_in_any_order(tmp_path: Path) -> None:
    count = 1000
    contigs = [(f"c{number * 7919 % count}", 10 + number) for number in range(count)]
    sink = open_tracks(tmp_path / "x.bw", "bigwig", ["x"], contigs)
    for number, (name, length) in enumerate(contigs):
        sink.contig(name, length)
        sink.add(0, np.full((length, 1), number / count))
    sink.close()
    with pyBigWig.open(str(tmp_path / "x.bw")) as file:
        for number, (name, length) in enumerate(contigs[1:], start=1):
            assert file.intervals(name) == ((0, length, np.float32(number / count)),)


@pytest.mark.parametrize("contigs", [[], [("a", 0)], [(str(number), 1) for number in range(65_536)]])
def test_what_no_bigwig_can_hold(tmp_path: Path, contigs: list[tuple[str, int]]) -> None:
    with pytest.raises(SemisegError, match=r"^bigWig: expected .*, found .*: choose bedgraph or hdf5$"):
        open_tracks(tmp_path / "out", "bigwig", ["x"], contigs)
    assert not list(tmp_path.iterdir())


def test_bedgraph(tmp_path: Path, pushed: Pushed) -> None:
    write(tmp_path / "out", "bedgraph", pushed)
    files = [f"{name}.bedGraph.gz" for name in FILES]
    assert sorted(contents(tmp_path / "out")) == sorted([*files, *(f"{name}.tbi" for name in files)])
    for track, name in enumerate(files):
        path = tmp_path / "out" / name
        expected = {contig: naive_runs(column[:, track]) for contig, column in pushed.values.items()}
        lines = [
            f"{contig}\t{a}\t{b}\t{v / 1000}".removesuffix(".0")
            for contig, runs in expected.items()
            for a, b, v in runs
        ]
        assert gzip.decompress(path.read_bytes()).decode().splitlines() == [
            "# semiseg 1.0",
            "# model\tof two lines",
            *lines,
        ]
        with pysam.TabixFile(str(path)) as file:
            assert file.contigs == [contig for contig, runs in expected.items() if runs]
            if lines:
                rows = [tuple(row.split("\t")[1:3]) for row in file.fetch("a", 100_000, 101_000)]
                assert rows == [(str(a), str(b)) for a, b, _ in expected["a"] if a < 101_000 and b > 100_000]


def test_bedgraph_of_a_contig_too_long_for_tabix(tmp_path: Path) -> None:
    sink = open_tracks(tmp_path / "x.bedGraph.gz", "bedgraph", ["x"], [("long", 2**30)])
    sink.contig("long", 2**30)
    sink.add(2**29 + 5, np.full((3, 1), 0.125))
    sink.close()
    with pysam.TabixFile(str(tmp_path / "x.bedGraph.gz"), index=str(tmp_path / "x.bedGraph.gz.csi")) as file:
        assert list(file.fetch("long", 2**29, 2**30)) == ["long\t536870917\t536870920\t0.125"]


def test_plain_bedgraph(tmp_path: Path) -> None:
    sink = open_tracks(tmp_path / "x.bedGraph", "bedgraph", ["x"], [("c", 9)], ["said"])
    sink.contig("c", 9)
    sink.add(2, np.array([[0.5], [0.5004]]))
    sink.add(4, np.array([[0.5], [12.3456], [0]]))
    sink.close()
    assert contents(tmp_path) == {"x.bedGraph": b"# said\nc\t2\t5\t0.5\nc\t5\t6\t12.346\n"}


def test_hdf5(tmp_path: Path, pushed: Pushed) -> None:
    contigs = (*CONTIGS, (".", 2), ("50%/2", 0))
    sink = open_tracks(tmp_path / "x.h5", "hdf5", NAMES, contigs, COMMENTS)
    push(sink, pushed)
    sink.contig(".", 2)
    sink.add(1, np.full((1, len(NAMES)), 0.5))
    sink.close()
    assert list(contents(tmp_path)) == ["x.h5"]
    with h5py.File(tmp_path / "x.h5") as file:
        about = dict(file.attrs)
        assert [*about["tracks"]] == [*NAMES]
        assert [*about["comments"]] == [*COMMENTS]
        assert (about["format"], about["bin_size"], about["scale"]) == ("semiseg tracks", 1, 0.001)
        assert [*file["contigs/name"].asstr()] == [name for name, _ in contigs]
        assert [*file["contigs/length"]] == [length for _, length in contigs]
        assert len(file["values"]) == len(contigs)
        for name, length in CONTIGS:
            found = file["values"][name.replace("/", "%2F")]
            expected = pushed.values.get(name, np.zeros((length, len(NAMES))))
            np.testing.assert_array_equal(found, thousandths(expected), strict=True)
            assert found.chunks == (min(65_536, length), len(NAMES))
            assert (found.compression, found.shuffle) == ("gzip", True)
        np.testing.assert_array_equal(file["values/%2E"], [[0] * 4, [500] * 4])
        assert file["values/50%25%2F2"].shape == (0, len(NAMES))


@pytest.mark.parametrize("form", FORMS)
def test_same_input_same_bytes(tmp_path: Path, pushed: Pushed, form: str) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        time.sleep(1.1 * seed)  # files that say when are made in different seconds
        write(folder / "out", form, pushed, seed)
    one, two = (contents(folder / "out") for folder in folders)
    assert one == two


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("begun", [False, True])
def test_abort_leaves_nothing(
    tmp_path: Path, pushed: Pushed, form: str, begun: bool, capfd: pytest.CaptureFixture
) -> None:
    sink = open_tracks(tmp_path / "out", form, NAMES, CONTIGS)
    if begun:
        push(sink, pushed)
    sink.abort()
    sink.abort()
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_what_stood_there_stays_until_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "x.bw").write_text("old")
    open_tracks(folder, "bigwig", ["x"], [("c", 5)]).abort()
    assert contents(folder) == {"x.bw": b"old"}
    open_tracks(folder, "bigwig", ["x"], [("c", 5)]).close()
    assert [*contents(folder)] == ["x.bw"]
    assert contents(folder)["x.bw"] != b"old"


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """The system refuses to let files grow; as a full disk does, only with other words."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def within(seconds: float, work: Callable[[], None]) -> BaseException | None:
    """What work raises, or None; a test that hangs fails."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive()
    return raised[0] if raised else None


def push_noise(sink: TrackSink) -> None:
    """Far more than fits into the queues, none of it small when packed."""
    random = np.random.default_rng(6)
    sink.contig("c", 10**7)
    for start in range(0, 40 * SLICE, SLICE):
        sink.add(start, random.random((SLICE, 1), np.float32))
    sink.close()


def check_fails(folder: Path, sink: TrackSink, message: str) -> None:
    """Writing ends in one line, soon, and can be cleared away."""
    error = within(30, lambda: push_noise(sink))
    assert isinstance(error, SemisegError)
    assert "\n" not in str(error)
    assert str(error).startswith(f"cannot write tracks to {folder / 'out'}: ")
    assert message in str(error)
    assert within(30, sink.abort) is None
    assert not (folder / "out").exists()


@pytest.mark.parametrize("form", ["bedgraph", "hdf5"])
def test_a_file_that_cannot_grow(tmp_path: Path, form: str) -> None:
    with no_file_beyond(150_000):
        sink = open_tracks(tmp_path / "out", form, ["x"], [("c", 10**7)])
        check_fails(tmp_path, sink, os.strerror(errno.EFBIG))


@pytest.mark.skipif(sys.platform == "darwin", reason="the limit raises a signal in threads")
def test_a_bigwig_that_cannot_grow(tmp_path: Path) -> None:
    with no_file_beyond(150_000):
        sink = open_tracks(tmp_path / "out", "bigwig", ["x"], [("c", 10**7)])
        check_fails(tmp_path, sink, "x.bw: pybigtools")


def test_a_disk_that_is_nearly_full_is_noticed_before_pybigtools_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    usage = shutil.disk_usage(tmp_path)
    free = iter([*[2 * bigwig.RESERVE] * 2 * QUEUED, *[0] * 1000])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=next(free)))
    check_fails(tmp_path, open_tracks(tmp_path / "out", "bigwig", ["x"], [("c", 10**7)]), os.strerror(errno.ENOSPC))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_that_is_gone(tmp_path: Path, form: str) -> None:
    sink = open_tracks(tmp_path / "out", form, ["x"], [("c", 10**7)])
    for path in tmp_path.rglob(".unfinished-*"):
        shutil.rmtree(path)
    check_fails(tmp_path, sink, "No such file or directory")


def test_an_error_of_the_library_comes_out_as_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr("semiseg.formats.tracks.write_bedgraph", fail)
    sink = open_tracks(tmp_path / "out", "bedgraph", ["x"], [("c", 10**7)])
    assert isinstance(within(30, lambda: push_noise(sink)), ZeroDivisionError)
    sink.abort()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("where", "form", "names", "message"),
    [
        ("file/out", "bigwig", ["x"], "cannot write tracks to .*file/out: Not a directory$"),
        ("file", "bigwig", ["x"], "cannot write tracks to .*file: (File exists|Not a directory)$"),
        ("none/x.h5", "hdf5", ["x"], "cannot write tracks to .*x.h5: No such file or directory$"),
        ("x.bw", "bigwig", ["x", "y"], r"x\.bw: expected a folder for 2 tracks, found the name of one file"),
        ("x", "wig", ["x"], "tracks: expected one of bigwig, bedgraph, hdf5, found wig$"),
    ],
)
def test_what_cannot_be_begun(tmp_path: Path, where: str, form: str, names: list[str], message: str) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(SemisegError, match=message):
        open_tracks(tmp_path / where, form, names, [("c", 5)])
    assert contents(tmp_path) == {"file": b"text"}


@pytest.mark.parametrize(("form", "package"), [("bigwig", "pybigtools"), ("bedgraph", "pysam"), ("hdf5", "h5py")])
def test_a_missing_package_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SemisegError, match=f"needs {package}, which is not installed: pip install {package}$"):
        open_tracks(tmp_path / "out", form, ["x"], [("c", 5)])
    assert not list(tmp_path.iterdir())


def test_stretches_must_follow_on(tmp_path: Path) -> None:
    sink = open_tracks(tmp_path / "x.bedGraph", "bedgraph", ["x"], [("c", 9), ("d", 3)])
    with pytest.raises(ValueError, match="does not follow on"):
        sink.add(0, np.zeros((1, 1)))
    with pytest.raises(ValueError, match="contigs announced"):
        sink.contig("c", 8)
    sink.contig("c", 9)
    sink.add(0, np.zeros((4, 1)))
    for start, count in ((5, 1), (3, 1), (4, 6)):
        with pytest.raises(ValueError, match="does not follow on"):
            sink.add(start, np.zeros((count, 1)))
    with pytest.raises(ValueError, match=r"expected \(n, 1\) values"):
        sink.add(4, np.zeros((1, 2)))
    sink.contig("d", 3)
    with pytest.raises(ValueError, match="contigs announced"):
        sink.contig("c", 9)
    sink.abort()
