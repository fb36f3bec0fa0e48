"""A run that was killed is gone on with: the same bytes in the end, whatever was half written."""

from pathlib import Path

import pytest

from semiseg.errors import SemisegError
from semiseg.formats.output import writing
from semiseg.formats.resumable import Resumable

TEXTS = [f"line {i} of a file that a machine may stop at any moment\n" * 50 for i in range(12)]


def write(path: Path, key: str | None, stop: int | None = None) -> int:
    """Write a header and twelve results with marks behind every third; return how many were written this time."""
    written = 0
    with writing(path, None, key) as stream:
        stream.write("# header\n")
        done = stream.done if isinstance(stream, Resumable) else 0
        for i in range(done, len(TEXTS)):
            if isinstance(stream, Resumable):
                stream.begin()
            if i == stop:
                raise KeyboardInterrupt
            stream.write(TEXTS[i])
            written += 1
            if (i + 1) % 3 == 0:
                stream.mark(i + 1)
    return written


@pytest.mark.parametrize("name", ["calls.bed", "calls.gff3.gz"])
@pytest.mark.parametrize("stop", [0, 2, 3, 7, 11])
def test_what_was_killed_is_gone_on_with(tmp_path, name, stop):
    whole, killed = tmp_path / f"whole_{name}", tmp_path / name
    write(whole, None)
    with pytest.raises(KeyboardInterrupt) as told:
        write(killed, "key", stop)
    assert getattr(told.value, "__notes__", []) == (["--resume continues"] if stop >= 3 else [])
    assert not killed.exists()
    with (tmp_path / f".{name}.partial").open("ab") as part:
        part.write(b"torn")
    with (tmp_path / f".{name}.journal").open("a") as journal:
        journal.write("9 99")
    assert write(killed, "key") == len(TEXTS) - stop // 3 * 3
    assert killed.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, whole.name])


@pytest.mark.parametrize("harm", ["key", "journal", "part"])
def test_what_does_not_belong_together_begins_anew(tmp_path, harm):
    path = tmp_path / "calls.bed"
    with pytest.raises(KeyboardInterrupt):
        write(path, "key", 8)
    if harm == "journal":
        (tmp_path / ".calls.bed.journal").write_text("what\nis this\n")
    if harm == "part":
        (tmp_path / ".calls.bed.partial").write_text("short")
    assert write(path, "another" if harm == "key" else "key") == len(TEXTS)
    assert path.read_text() == "# header\n" + "".join(TEXTS)


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(SemisegError, match="there is no folder"), writing(tmp_path / "no" / "calls.bed", None, "key"):
        pass
