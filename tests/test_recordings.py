"""Recordings of every format, and what is wrong with some."""

import struct
import wave
from pathlib import Path

import h5py
import numpy as np
import pytest

from semiseg.errors import SemisegError
from semiseg.formats.recordings import open_recordings

pytest.importorskip("edfio")
pytest.importorskip("wfdb")

T, RATE = 1000, 250


@pytest.fixture(scope="module")
def values():
    """Two channels in steps that 16 bits keep."""
    return np.round(np.random.default_rng(0).normal(0, 0.2, (T, 2)), 3).clip(-0.99, 0.99)


def write(folder: Path, suffix: str, values) -> Path:
    """Write a recording of a format."""
    path = folder / f"one{suffix}"
    match suffix:
        case ".npy":
            np.save(path, values)
        case ".npz":
            np.savez(path, one=values, rate=RATE)
        case ".csv" | ".tsv":
            rows = [["time", "i", "ii"], *([i / RATE, *row] for i, row in enumerate(values))]
            path.write_text("".join(("\t" if suffix == ".tsv" else ",").join(map(str, row)) + "\n" for row in rows))
        case ".wav":
            with wave.open(str(path), "wb") as file:
                file.setparams((2, 2, RATE, T, "NONE", ""))
                file.writeframes(np.round(values * 2**15).astype("<i2").tobytes())
        case ".edf":
            from edfio import Edf, EdfSignal

            channels = zip(("i", "ii"), values.T, strict=True)
            Edf([EdfSignal(x, RATE, label=name) for name, x in channels]).write(path)
        case ".h5":
            with h5py.File(path, "w") as file:
                file.create_dataset("one", data=values.astype(np.float32)).attrs["rate"] = RATE
        case ".hea":
            raw = np.round(values * 1000).astype("<i2")  # 1000 a millivolt
            lines = [f"one.dat 16 1000/mV 16 0 {raw[0, i]} {raw[:, i].sum()} 0 {'i' * (i + 1)}" for i in (0, 1)]
            path.write_text("\n".join([f"one 2 {RATE} {T}", *lines]) + "\n")
            path.with_suffix(".dat").write_bytes(raw.tobytes())
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".tsv", ".wav", ".edf", ".h5", ".hea"])
def test_every_format_gives_what_was_written(suffix, values, tmp_path):
    source = open_recordings(write(tmp_path, suffix, values), rate=RATE)
    (strip,) = source.strips
    assert (strip.name, strip.length, strip.rate, len(source.channels)) == ("one", T, RATE, 2)
    assert np.abs(strip.read(0, T) - values).max() < 1e-3
    assert np.array_equal(strip.read(300, 700), strip.read(0, T)[300:700])
    assert source.channels == (("i", "ii") if suffix in (".csv", ".tsv", ".edf", ".hea") else ("0", "1"))


def test_a_channel_is_chosen_by_name_or_number(values, tmp_path):
    path = write(tmp_path, ".csv", values)
    for asked in ("ii", "1"):
        (strip,) = open_recordings(path, channels=[asked]).strips
        assert np.abs(strip.read(0, T)[:, 0] - values[:, 1]).max() < 1e-6
    with pytest.raises(SemisegError, match="no channel v1; there are i, ii"):
        open_recordings(path, channels=["v1"])


def test_whole_numbers_of_any_width_in_wav(tmp_path):
    four = struct.pack("<3i", 0, -(2**31), 2**30)
    for width, raw in ((1, b"\x80\x00\xff"), (3, b"\0\0\0\0\0\x80\0\0\x40"), (4, four)):
        path = tmp_path / f"{width}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, width, RATE, 3, "NONE", ""))
            file.writeframes(raw)
        (strip,) = open_recordings(path).strips
        assert np.allclose(strip.read(0, 3)[:, 0], [0, -1, 127 / 128 if width == 1 else 0.5])


def test_what_is_missing_in_text_is_nan(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x\n1\nNA\n\n3\n")
    (strip,) = open_recordings(path).strips
    assert np.array_equal(strip.read(0, 3)[:, 0], [1, np.nan, 3], equal_nan=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"i,ii\n1,2\n3,x\n", "line 3, column ii: expected a number, found 'x'"),
        ("a.csv", b"i,ii\n1\n", "line 2: expected 2 columns, found 1"),
        ("a.csv", b"", "the recording is empty"),
        ("a.csv", b"i\n", "the recording is empty"),
        ("a.npy", b"", "no array of numbers, or damaged"),
        ("a.npz", b"PK", "no array of numbers, or damaged"),
        ("a.wav", b"RIFF", "no WAV of PCM, or damaged"),
        ("a.edf", b"0" * 300, "no EDF, or damaged"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "cannot be read as HDF5"),
        ("a.hea", b"a 1 250 10\nmissing.dat 16 200 12 0 0 0 0 i\n", "its samples are not there"),
        ("a.hea", b"\xff\xfe", "no WFDB header"),
    ],
)  # fmt: skip
def test_bad_files_are_said_to_be_so_in_one_line(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SemisegError, match=message) as caught:
        open_recordings(path)
    assert "\n" not in str(caught.value)


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(SemisegError, match="no array of numbers"):
        open_recordings(path)


def test_what_is_known_of_an_array_is_said_as_it_is(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, 3, 4)))
    with pytest.raises(SemisegError, match=rf"^{path}: a: expected numbers of shape \(T,\) or \(T, channels\), found"):
        open_recordings(path)


def test_a_rate_is_for_files_that_say_none(values, tmp_path):
    path = write(tmp_path, ".hea", values)
    with pytest.raises(SemisegError, match=f"has a rate of its own, {RATE} samples a second: leave --rate out"):
        open_recordings(path, rate=RATE / 2)
    write(tmp_path, ".npy", values)
    path.rename(tmp_path / "two.hea")
    assert {strip.rate for strip in open_recordings(tmp_path, rate=RATE / 2).strips} == {RATE, RATE / 2}


def test_an_array_that_lies_on_its_side(values, tmp_path):
    with pytest.raises(SemisegError, match=rf"one: {T} channels of 2 samples: expected a row a sample: turn it over"):
        open_recordings(write(tmp_path, ".npy", values.T), rate=RATE)


def test_a_folder_without_recordings(tmp_path):
    with pytest.raises(SemisegError, match="no recordings"):
        open_recordings(tmp_path)
