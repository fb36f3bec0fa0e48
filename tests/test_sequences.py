"""Sequences in pieces and by region: the same letters however a file is stored and cut, in little memory."""

import gzip
import io
import os
import random
import re
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pysam
import pytest

from semiseg.errors import SemisegError
from semiseg.formats import files
from semiseg.formats.fasta_index import Faidx, Scan
from semiseg.formats.sequences import near, no_sequence, open_sequences

LETTERS = "ACGTUacgtuNnRYSWKMBDHVX-"
GENOME = ">one first\nACGTACGT\nACGTACGT\nAC\n>none\n>two\nGGGGCCCC\nGG\n"


def random_fasta(seed: int, ends: str = "\n") -> tuple[str, dict[str, str]]:
    """Records with lines of random lengths and blanks here and there, and what they hold."""
    draw = random.Random(seed)
    text, records = "\n" * draw.randrange(3), {}
    for i in range(draw.randrange(1, 12)):
        lines = ["".join(draw.choices(LETTERS, k=draw.randrange(1, 90))) for _ in range(draw.randrange(12))]
        name = draw.choice(["a|b", "chr", "x:1-2", "é"]) + str(i)
        records[name] = "".join(lines)
        kept = [line + draw.choice(["", "", " ", "\t", "\n", " \n\n"]) for line in lines]
        text += f">{name}{draw.choice(['', ' more > of it', chr(9)])}\n" + "".join(f"{line}\n" for line in kept)
    if draw.random() < 0.5:
        text = text.removesuffix("\n")
    return text.replace("\n", ends), records


def plain(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def zip_of(data: bytes) -> bytes:
    """The same bytes whenever it is called: they name tests, and every process must find the same names."""
    return gzip.compress(data, mtime=0)


def zipped(path: Path, data: bytes) -> Path:
    return plain(path, zip_of(data))


def bgzipped(path: Path, data: bytes) -> Path:
    """In members of few bytes, so that there are many."""
    with pysam.BGZFile(str(path), "wb") as file:
        for start in range(0, len(data), 97):
            file.write(data[start : start + 97])
            file.flush()
    return path


STORAGE: dict[str, Callable[[Path, bytes], Path]] = {"plain": plain, "gzip": zipped, "bgzip": bgzipped}


@pytest.fixture(params=[1, 7, 50, 1 << 20])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so short that they end everywhere."""
    monkeypatch.setattr(files, "BLOCK", request.param)
    monkeypatch.setattr(files, "FIRST", min(request.param, files.FIRST))
    monkeypatch.setattr("semiseg.formats.fasta_index.BLOCK", request.param)
    monkeypatch.setattr("semiseg.formats.sequences.BLOCK", request.param)


def joined(pieces: Iterator[np.ndarray], size: int) -> str:
    """The letters, if the pieces are as long as they should be."""
    found = list(pieces)
    assert all(len(piece) == size and piece.flags.writeable for piece in found[:-1])
    assert all(0 < len(piece) <= size and piece.dtype == np.uint8 for piece in found)
    return b"".join(piece.tobytes() for piece in found).decode()


def check(path: Path, records: dict[str, str], seed: int) -> None:
    """Compare everything that can be asked of a file."""
    draw = random.Random(seed)
    with open_sequences(path) as sequences:
        assert list((sequences.lengths or {}).items()) == [(name, len(letters)) for name, letters in records.items()]
        assert sequences.notes == []
        for size in (1, 7, 1 << 20):
            read = {record.name: joined(record.pieces(size), size) for record in sequences}
            assert list(read.items()) == list(records.items())
        for name, letters in draw.sample(list(records.items()), len(records)):
            for _ in range(3):
                start, end = sorted((draw.randint(0, len(letters)), draw.randint(0, len(letters))))
                assert sequences.read(name, start, end).tobytes().decode() == letters[start:end]
            assert sequences.read(name, 0, len(letters)).tobytes().decode() == letters


@pytest.mark.parametrize("stored", STORAGE)
@pytest.mark.usefixtures("block")
def test_a_naive_reader_agrees(stored: str, tmp_path: Path) -> None:
    for seed in range(10):
        text, records = random_fasta(seed, ("\n", "\r\n")[seed % 2])
        mark = b"\xef\xbb\xbf" if seed % 3 == 0 and files.FIRST >= 3 else b""
        check(STORAGE[stored](tmp_path / f"{seed}.fa", mark + text.encode()), records, seed)


def piped(data: bytes) -> int:
    """The end of a pipe that the data come from, a little at a time."""
    source, sink = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), open(sink, "wb", buffering=0) as file:
            for start in range(0, len(data), 1000):
                file.write(data[start : start + 1000])

    threading.Thread(target=write, daemon=True).start()
    return source


@pytest.mark.parametrize("compress", [bytes, zip_of])
@pytest.mark.parametrize("by_name", [True, False])
def test_a_pipe_is_read_in_order(
    compress: Callable[[bytes], bytes], by_name: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(4):
        text, records = random_fasta(seed)
        with open(piped(compress(text.encode())), "rb") as source:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(source))
            with open_sequences(f"/dev/fd/{source.fileno()}" if by_name else "-") as sequences:
                assert sequences.lengths is None
                with pytest.raises(SemisegError, match="a region needs a file"):
                    sequences.read("chr0", 0, 1)
                read = [(record.name, record.length, joined(record.pieces(7), 7)) for record in sequences]
            assert not source.closed
        assert read == [(name, None, letters) for name, letters in records.items()]


def test_what_is_not_read_is_skipped(tmp_path: Path) -> None:
    text, records = random_fasta(3)
    with open_sequences(plain(tmp_path / "g.fa", text.encode())) as sequences:
        begun = [(record.name, next(record.pieces(5), None)) for record in sequences]
        assert [name for name, _ in begun] == list(records)
        first, *_ = sequences
        with pytest.raises(ValueError, match="passed"):
            list(first.pieces())
        with pytest.raises(ValueError, match="one letter or more"):
            list(next(iter(sequences)).pieces(0))


def faidx(path: Path) -> Path:
    """The index of samtools."""
    pysam.faidx(str(path))
    return Path(f"{path}.fai")


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("stored", ["plain", "bgzip"])
def test_an_index_is_used(ends: str, stored: str, tmp_path: Path) -> None:
    data = GENOME.replace("\n", ends).encode()
    for text in (data, data.rstrip(b"\r\n")):
        path = STORAGE[stored](tmp_path / "g.fa.gz", text)
        beside = faidx(path)
        assert beside.exists()
        with open_sequences(path) as sequences:
            assert isinstance(sequences.index, Faidx)
        check(path, {"one": "ACGTACGT" * 2 + "AC", "none": "", "two": "GGGGCCCCGG"}, 0)


def test_an_old_index_is_not_used(tmp_path: Path) -> None:
    path = plain(tmp_path / "g.fa", GENOME.encode())
    beside = faidx(path)
    before = beside.read_bytes()
    path.write_text(">one\nACG\n")
    os.utime(beside, (1, 1))
    with open_sequences(path) as sequences:
        assert sequences.lengths == {"one": 3}
        assert re.search(r"g\.fa\.fai is older than", " ".join(sequences.notes))
    assert beside.read_bytes() == before


@pytest.mark.parametrize(
    ("found", "other"),
    [
        ("one\t18", "one\t999999999999999999"),
        ("one\t18", "one\t-18"),
        ("one\t18", "one\t17"),
        ("one\t18", "one\t99999999999999999999999"),
        ("\t11\t", "\t999999999999999999\t"),
        ("\t11\t", "\t12\t"),
        ("\t8\t9\n", "\t0\t0\n"),
        ("\t8\t9\n", "\t9\t8\n"),
        ("\t8\t9\n", "\t7\t8\n"),
        ("\t8\t9\n", "\t8\t9999999999999999\n"),
        ("one\t", "eno\t"),
        ("one\t", "on\t"),
        ("two\t", "one\t"),
        ("two\t", "two three\t"),
        ("two\t", "none\t3\t38\t3\t4\ntwo\t"),
        ("two\t", "none\t0\t38\t0\t0\none\t"),
        ("\t8\t9\n", "\n"),
        ("one", "\0\xff\n"),
    ],
)
def test_an_index_that_does_not_fit_is_not_used(found: str, other: str, tmp_path: Path) -> None:
    path = plain(tmp_path / "g.fa", GENOME.encode())
    beside = faidx(path)
    text = beside.read_text()
    assert found in text
    for changed in (text.replace(found, other, 1), text[: len(text) // 2], text + "three\t5\t60\t5\t6\n", ""):
        beside.write_text(changed)
        with open_sequences(path) as sequences:
            assert isinstance(sequences.index, Scan)
            assert sequences.lengths == {"one": 18, "none": 0, "two": 10}
            assert sequences.read("two", 3, 9).tobytes() == b"GCCCCG"
            assert re.fullmatch(r".*g\.fa\.fai does not fit its file.*", *sequences.notes)


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = plain(tmp_path / "g.fa", GENOME.encode())
    with open_sequences(path) as sequences:
        path.write_text(GENOME.replace("GG\n", "G\n"))
        assert sequences.read("one", 0, 18).tobytes() == b"ACGTACGTACGTACGTAC"
        with pytest.raises(SemisegError, match="record two: not as long"):
            sequences.read("two", 0, 10)
        with pytest.raises(SemisegError, match="record two: not as long"):
            list(sequences)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected FASTA, found no record"),
        (zip_of(b""), "expected FASTA, found no record"),
        (b"\n \n  hello\nACGT", "line 3: expected FASTA, which begins with >, found 'hello'"),
        (b"\xff\xfeA", r"found '\\xff\\xfeA'"),
        (b">a\nAC\0", "line 2: expected text, plain or gzip, found binary data"),
        (b">a\nACGT\nAC*", r"record a: expected nucleotides \(IUPAC codes\), found '\*' at base 7"),
        (b">a\nAC>GT\n", "found '>' at base 3"),
        (b">a\n\n> b\nAC", "line 3: expected a name right after >"),
        (b">a\nAC\n>", "line 3: expected a name right after >"),
        (b">a\nAC\n>b\n>a", "line 4: there is a second record named a"),
        (b">a\nAC\rGT\n", "line 2: carriage return inside a line"),
        (b">a\nAC\rGT\x02", "line 2: expected text, plain or gzip, found binary data"),
        (b">a" + b"x" * (3 << 20), "line 1: expected a header, found a line without end"),
        (zip_of(GENOME.encode())[:-9], "the gzip data end early"),
        (zip_of(GENOME.encode())[:-8] + b"12345678", "damaged gzip data"),
        (zip_of(GENOME.encode()) + b"junk", r"damaged gzip data: Not a gzipped file \('ju'\)"),
    ],
)
def test_bad_input_is_refused(data: bytes, message: str, tmp_path: Path) -> None:
    path = plain(tmp_path / "bad.fa", data)
    with pytest.raises(SemisegError, match=message) as error:
        open_sequences(path)
    assert "bad.fa" in str(error.value)
    assert "\n" not in str(error.value)
    with open(piped(data), "rb") as source, pytest.raises(SemisegError, match=message):
        list(open_sequences(f"/dev/fd/{source.fileno()}"))


def test_letters_are_counted_across_blocks(tmp_path: Path) -> None:
    path = plain(tmp_path / "bad.fa", b">a\n" + (b"ACGT" * 15 + b"\n") * 50_000 + b"AC.\n")
    with pytest.raises(SemisegError, match=r"found '\.' at base 3000003"):
        open_sequences(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, reason in [(tmp_path / "absent", "No such file"), (tmp_path, "Is a directory")]:
        with pytest.raises(SemisegError, match=reason):
            open_sequences(path)


def test_bgzip_without_its_last_block_is_said(tmp_path: Path) -> None:
    path = bgzipped(tmp_path / "g.fa.gz", GENOME.encode())
    path.write_bytes(path.read_bytes()[:-28])
    with open_sequences(path) as sequences:
        assert re.search("may be cut off", " ".join(sequences.notes))


def test_a_region_must_be_there(tmp_path: Path) -> None:
    with open_sequences(plain(tmp_path / "g.fa", GENOME.encode())) as sequences:
        assert sequences.read("none", 0, 0).shape == (0,)
        with pytest.raises(SemisegError, match=r"no sequence named tow; there are two, one, none$"):
            sequences.read("tow", 0, 1)
        for start, end in [(-1, 2), (3, 2), (0, 11)]:
            with pytest.raises(SemisegError, match="two has 10 bases"):
                sequences.read("two", start, end)


@pytest.mark.parametrize("width", [60, 1_000_000_000])
@pytest.mark.parametrize("stored", [plain, zipped])
def test_memory_does_not_grow(width: int, stored: Callable[[Path, bytes], Path], tmp_path: Path) -> None:
    length = 60_000_000 if stored is plain else 24_000_000
    line = b"ACGTTGCA" * 7500
    text = line + b"\n" if width == 60 else line  # lines of 60 kb, or one
    path = stored(tmp_path / "g.fa", b">one\n" + text * (length // len(line)) + b"\n")
    tracemalloc.start()
    try:
        with open_sequences(path) as sequences:
            assert sequences.lengths == {"one": length}
            assert sum(len(piece) for record in sequences for piece in record.pieces()) == length
            assert sequences.read("one", length - 8, length).tobytes() == b"ACGTTGCA"
            assert sequences.read("one", 8_000_003, 8_000_008).tobytes() == b"TTGCA"
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_many_records_are_quick(tmp_path: Path) -> None:
    count = 200_000
    path = plain(tmp_path / "g.fa", b"".join(b">r%d\n%s\n" % (i, b"ACGT" * 50) for i in range(count)))
    began = time.process_time()
    with open_sequences(path) as sequences:
        assert sum(len(piece) for record in sequences for piece in record.pieces()) == 200 * count
    assert time.process_time() - began < 10  # some 2 s; if lines were counted for every record, minutes


def test_names_that_are_near() -> None:
    assert near("chr2", ["1", "2", "chr20", "Chr2"]) == ["2", "Chr2", "chr20"]
    assert near("NC_1133", ["NC_001133.9", "x"]) == ["NC_001133.9"]
    assert near("q", ["x"]) == []
    names = [f"c{i}" for i in range(30)]
    message = str(no_sequence("--region", "C25", names))
    assert message.startswith("--region: no sequence named C25; there are c25, ")
    assert message.endswith(", ...")
    assert len(message.split(", ")) == 11
