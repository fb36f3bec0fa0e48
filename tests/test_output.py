"""Output files: complete or not there, and what other people's programs say about them."""

import gzip
import os
import resource
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pysam
import pytest
import strict_bed
from planted import planted, write_files

from semiseg.calling import ENDINGS
from semiseg.errors import SemisegError, UsageError
from semiseg.formats import bgzip
from semiseg.formats.bed import EXTRA, gene_rows, write_bed
from semiseg.formats.gff import write_gff3
from semiseg.formats.output import format_of, writing
from semiseg.formats.places import check_file, check_folder
from semiseg.genes import Certainty, Gene

LINES = [f"{name}\t{at}\t{at + 5}\tx\n" for name in ("b", "a") for at in range(0, 40_000, 10)]
FORMS = ["bed", "bed9", "gff3"]


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def write_lines(path: Path | None) -> None:
    """Write a small BED file."""
    with writing(path, index="bed") as stream:
        for line in LINES:
            stream.write(line)


def refused(path: Path) -> str:
    """The one line that says why a file cannot be written."""
    with pytest.raises(SemisegError) as error:
        write_lines(path)
    message = str(error.value)
    assert message.startswith(f"cannot write {path}: ")
    assert message.isprintable()
    return message.partition(": ")[2]


@pytest.mark.parametrize("name", ["x.bed", "x.bed.gz", "x.bgz", "x" * 251 + ".bed"])
def test_a_file_appears_when_it_is_complete(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with writing(path, index="bed") as stream:
        stream.write("#é\n")
        (part,) = names(tmp_path)
        assert part not in (name, f"{name}.tbi")
        for line in LINES:
            stream.write(line)
    is_compressed = not name.endswith("bed")
    assert names(tmp_path) == [name, f"{name}.tbi"][: 1 + is_compressed]
    data = path.read_bytes()
    assert (gzip.decompress(data) if is_compressed else data).decode() == "#é\n" + "".join(LINES)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("path", [None, Path("-")])
def test_standard_output_gets_text_as_it_comes(path: Path | None, capsys: pytest.CaptureFixture[str]) -> None:
    with writing(path, index="bed") as stream:
        stream.write("a\n")
        assert capsys.readouterr().out == "a\n"
    print("still open")
    assert capsys.readouterr().out == "still open\n"


def write_half(path: Path, error: type[BaseException]) -> None:
    """Write the beginning of a file, and no more because of an error."""
    with writing(path, index="bed") as stream:
        stream.write("half a li")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SemisegError, GeneratorExit])
@pytest.mark.parametrize("name", ["x.bed", "x.bed.gz"])
def test_an_error_leaves_what_was_there(name: str, error: type[BaseException], tmp_path: Path) -> None:
    write_lines(tmp_path / name)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    with pytest.raises(error):
        write_half(tmp_path / name, error)
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


@pytest.mark.parametrize("name", ["x.bed", "x.bed.gz"])
def test_a_link_goes_on_to_be_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / name
    link.symlink_to(tmp_path / "real" / name)
    write_lines(link)
    assert link.is_symlink()
    assert names(tmp_path / "real")[0] == name
    assert names(tmp_path) == ["real", name]


def test_same_input_same_bytes(tmp_path: Path) -> None:
    for name in ("x.gz", "y.gz"):
        write_lines(tmp_path / name)
    assert (tmp_path / "x.gz").read_bytes() == (tmp_path / "y.gz").read_bytes()
    assert (tmp_path / "x.gz.tbi").read_bytes() == (tmp_path / "y.gz.tbi").read_bytes()


def test_an_index_finds_rows(tmp_path: Path) -> None:
    write_lines(tmp_path / "x.bed.gz")
    with pysam.TabixFile(str(tmp_path / "x.bed.gz")) as found:
        assert found.contigs == ["b", "a"]
        assert [*found.fetch("a", 100, 121)] == ["a\t100\t105\tx", "a\t110\t115\tx", "a\t120\t125\tx"]


@pytest.mark.parametrize("text", ["", "# only this\n"])
def test_a_file_without_rows_has_an_index_too(text: str, tmp_path: Path) -> None:
    with writing(tmp_path / "x.bed.gz", index="bed") as stream:
        stream.write(text)
    with pysam.TabixFile(str(tmp_path / "x.bed.gz")) as found:
        assert found.contigs == []


def test_a_long_contig_has_another_index(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.gff3.gz"
    write_lines(path)
    with writing(path, index="gff") as stream:
        for start in (1, 2**29, 2**31 - 10):
            stream.write(f"a\t.\tgene\t{start}\t{start + 2}\t.\t+\t.\tID=x{start}\n")
    assert names(tmp_path) == ["x.gff3.gz", "x.gff3.gz.csi"]
    with pysam.TabixFile(str(path), index=f"{path}.csi") as found:
        assert len([*found.fetch("a", 2**29, 2**31 - 1)]) == 2
    assert capfd.readouterr() == ("", "")


def test_a_file_without_an_index_keeps_none_of_another(tmp_path: Path) -> None:
    write_lines(tmp_path / "x.bed.gz")
    with writing(tmp_path / "x.bed.gz") as stream:
        stream.write("a\n")
    assert names(tmp_path) == ["x.bed.gz"]


def test_rows_out_of_order_have_no_index(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(SemisegError, match=r"cannot write the index of .*x\.gz: expected room for it, and rows sorted"),
        writing(tmp_path / "x.gz", index="bed") as stream,
    ):
        stream.write("a\t9\t10\na\t5\t6\n")
    assert names(tmp_path) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_places_that_cannot_be_written(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "folder.gz").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert refused(tmp_path / f"folder{suffix}") == "it is a folder: give the name of a file"
    assert refused(tmp_path / f"no/x{suffix}") == f"there is no folder {tmp_path / 'no'}: make it first"
    assert refused(tmp_path / f"file/x{suffix}") == f"{tmp_path / 'file'} is no folder"
    assert names(tmp_path) == ["file", "folder", "folder.gz"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    assert (
        refused(tmp_path / "x.bed") == f"Permission denied: choose a folder that you may write into, {tmp_path} is none"
    )
    tmp_path.chmod(0o755)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file grow beyond a size: the system refuses as a full disk does, but says another reason."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.parametrize("size", [0, 10_000])
@pytest.mark.parametrize("name", ["x.bed", "x.bed.gz"])
def test_writes_that_fail(name: str, size: int, tmp_path: Path) -> None:
    with file_size_limit(size):
        said = refused(tmp_path / name)
    assert said == "File too large"
    assert names(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_full_disk(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"full{suffix}"
    path.symlink_to("/dev/full")
    assert refused(path) == "No space left on device: free some space or write elsewhere"
    assert path.exists()


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_named_pipe_is_written_into(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"pipe{suffix}"
    os.mkfifo(path)
    read: list[bytes] = []
    thread = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    thread.start()
    write_lines(path)
    thread.join(10)
    assert (gzip.decompress(read[0]) if suffix else read[0]).decode() == "".join(LINES)
    assert names(tmp_path) == [path.name]


def test_a_reader_that_went_away_is_left_to_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    thread = threading.Thread(target=lambda: path.open("rb").close(), daemon=True)
    thread.start()
    with pytest.raises(BrokenPipeError):
        write_lines_slowly(path, thread)


def write_lines_slowly(path: Path, reader: threading.Thread) -> None:
    """Write more than fits into a pipe, after its reader has ended."""
    with writing(path) as stream:
        reader.join(10)
        for _ in range(20):
            stream.write("".join(LINES))


def test_a_missing_library_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysam", None)
    with pytest.raises(SemisegError, match=r"x\.bed\.gz: an index needs pysam, .*, or leave out \.gz$"):
        write_half(tmp_path / "x.bed.gz", ValueError)
    assert names(tmp_path) == []


@pytest.mark.parametrize("size", [0, 1, bgzip.BLOCK - 1, bgzip.BLOCK, bgzip.BLOCK + 1, 3 * bgzip.BLOCK])
def test_blocks_are_bgzip(size: int, tmp_path: Path) -> None:
    text = "".join(Random(size).choices([chr(at) for at in range(33, 127)], k=size))
    with writing(tmp_path / "x.gz") as stream:
        for at in range(0, size, 7001):
            stream.write(text[at : at + 7001])
    data = (tmp_path / "x.gz").read_bytes()
    assert gzip.decompress(data).decode() == text
    assert data.endswith(bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000"))
    with pysam.BGZFile(str(tmp_path / "x.gz"), "rb", None) as found:
        assert found.read().decode() == text


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.bed", "bed"), ("a.BED.gz", "bed"), ("b/a.gff3.bgz", "gff3"), ("a.gff", "gff3"), ("a.gff.gz", "gff3"),
        ("a.gz", "?"), ("bed", "?"), ("-", "?"), ("/dev/fd/63", "?"), ("a.b/c", "?"),
    ],
)  # fmt: skip
def test_the_name_tells_the_format(name: str, form: str) -> None:
    assert format_of(Path(name), ENDINGS, "?") == form


@pytest.mark.parametrize("name", ["a.bed9", "a.bed.txt", "a.gtf.gz"])
def test_a_name_that_tells_another_format_is_wrong_usage(name: str) -> None:
    with pytest.raises(UsageError, match=f".bed, .gff3, .gff, with or without .gz, got {name}: or give --format"):
        format_of(Path(name), ENDINGS, "?")


def test_no_name_tells_no_format() -> None:
    assert format_of(None, ENDINGS, "bed9") == "bed9"


@pytest.mark.parametrize("look", [check_file, check_folder])
def test_places_are_looked_at_before_the_work(look: Callable[[Path], None], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    look(tmp_path / "new")
    is_file = look is check_file
    good, bad = ("file", "folder") if is_file else ("folder", "file")
    look(tmp_path / good)
    with pytest.raises(SemisegError, match="give the name of a"):
        look(tmp_path / bad)
    with pytest.raises(SemisegError, match=r"is no folder|is a file"):
        look(tmp_path / "file" / "x")
    with pytest.raises(SemisegError, match=r"/proc takes no new files|may write into, /proc is none"):
        look(Path("/proc/x"))
    if is_file:
        with pytest.raises(SemisegError, match=r"there is no folder .*no: make it first"):
            look(tmp_path / "no" / "x")
        with pytest.raises(SemisegError, match="File name too long"):
            look(tmp_path / ("x" * 300))
        for stream in (Path("/dev/null"), Path("-"), None):
            check_file(stream)
    else:
        look(tmp_path / "no" / "x")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    "text",
    [
        "a\t5\t5\tx\t0\t+\n", "a\t5\t9\tx\t1001\t+\n", "a\t5\t9\tx\t0.5\t+\n", "a\t5\t9\tx\t0\t*\n", "a\t5\t9\tx\t0\n",
        "a\t5\t9\tx\t0\t+", "a\t5\t9\tx\t0\t+ \n", "a\t5\t9\t\t0\t+\n", "a\t5\t99\tx\t0\t+\n", "a\t-5\t9\tx\t0\t+\n",
        "a\t5\t9\tx\t0\t+\na\t4\t9\tx\t0\t+\n", "a\t5\t9\tx\t0\t+\nb\t4\t9\tx\t0\t+\na\t5\t9\tx\t0\t+\n",
        "a\t5\t9\tx\t0\t+\na\t5\t9\tx\t0\t+\ty\n", "a\t5\t9\tx\t0\t+\n\n", "a\t5\t9\tx\t0\t+\n#\n",
    ],
)  # fmt: skip
def test_the_checker_finds_faults(text: str) -> None:
    with pytest.raises(AssertionError):
        strict_bed.check(text, {"a": 50, "b": 50})


def run(*command: str | Path, warnings: int = 0) -> str:
    """What another program prints; without it a test is skipped, and fails where all of them are expected."""
    name = str(command[0])
    if shutil.which(name) is None:
        assert "SEMISEG_REQUIRE_TOOLS" not in os.environ, f"{name} is not installed"
        pytest.skip(f"needs {name}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower()
    assert done.stderr.lower().count("warning") == warnings, done.stderr
    return done.stdout


def certain(gene: Gene, rng: Random) -> Gene:
    """The gene with posteriors."""
    exons = []
    for exon in gene.exons:
        start, end, segment, label = (round(rng.random(), 4) for _ in range(4))
        sure = Certainty(start, end, segment, label, (exon.start - 2, exon.start + 3), (exon.end, exon.end + 1))
        exons.append(exon._replace(posterior=segment, certainty=sure))
    return gene._replace(exons=tuple(exons), posterior=min(exon.posterior or 0 for exon in exons))


class Written:
    """A genome and its genes, and both as files."""

    def __init__(self, folder: Path) -> None:
        contigs = [planted(12_000, seed, name) for seed, name in ((1, "two"), (2, "one"), (3, "III"))]
        contigs.append((planted(500, 4, "bare")[0], []))
        self.lengths = {contig.name: len(contig.sequence) for contig, _ in contigs}
        rng = Random(5)
        self.genes = {contig.name: [certain(gene, rng) for gene in genes] for contig, genes in contigs}
        assert {gene.strand for genes in self.genes.values() for gene in genes} == {"+", "-"}
        self.fasta, _ = write_files(folder, *contigs)
        self.folder = folder

    def write(self, form: str, suffix: str = "") -> Path:
        """The genes in a format."""
        path = self.folder / f"{form}.{'gff3' if form == 'gff3' else 'bed'}{suffix}"
        with writing(path, index="gff" if form == "gff3" else "bed") as stream:
            if form == "gff3":
                contigs = ((name, self.lengths[name], genes) for name, genes in self.genes.items())
                write_gff3(contigs, stream, ["semiseg", "a second"], self.lengths.items() if suffix else None)
            else:
                genes = (gene for genes in self.genes.values() for gene in genes)
                rows = (row for n, gene in enumerate(genes) for row in gene_rows(gene, f"g{n}", form))
                write_bed(rows, stream, EXTRA[form], ["semiseg", "a second"])
        return path


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """The example."""
    return Written(tmp_path)


@pytest.mark.parametrize("form", ["bed", "bed9"])
def test_bed_is_strict(form: str, written: Written) -> None:
    rows = strict_bed.check(written.write(form).read_text(), written.lengths)
    assert len(rows) == sum(len(gene.exons) for genes in written.genes.values() for gene in genes)
    assert {len(row) for row in rows} == {6 + len(EXTRA[form])}


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_genometools_validates(suffix: str, written: Written) -> None:
    assert "input is valid GFF3" in run("gt", "gff3validator", "-typecheck", "so", written.write("gff3", suffix))


def test_genometools_validates_without_lengths(written: Written) -> None:
    path = written.folder / "piped.gff3"
    with writing(path) as stream:
        write_gff3(((name, None, genes) for name, genes in written.genes.items()), stream)
    said = run("gt", "gff3validator", "-typecheck", "so", path, warnings=3)  # one a contig with genes
    assert "input is valid GFF3" in said


def test_gffread_translates(written: Written) -> None:
    proteins = written.folder / "proteins.fa"
    run("gffread", "-y", proteins, "-g", written.fasta, written.write("gff3"))
    found = ["".join(record.split("\n")[1:]) for record in proteins.read_text().split(">")[1:]]
    assert len(found) == sum(map(len, written.genes.values()))
    for protein in found:
        assert protein.startswith("M")
        assert "." not in protein.removesuffix(".")
        assert "X" not in protein


@pytest.mark.parametrize("form", FORMS)
def test_bgzip_and_tabix_read(form: str, written: Written) -> None:
    path = written.write(form, ".gz")
    run("bgzip", "-t", path)
    assert run("tabix", "-l", path).split() == [name for name, genes in written.genes.items() if genes]
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    assert run("tabix", "-H", path).splitlines() == [line for line in lines if line.startswith("#")]
    low, high = 4000, 9000  # 1-based, both included
    shift = 0 if form == "gff3" else 1
    at = 3 if form == "gff3" else 1
    rows = [row for line in lines if (row := line.split("\t"))[0] == "one"]
    expected = ["\t".join(row) for row in rows if int(row[at]) + shift <= high and int(row[at + 1]) >= low]
    assert 0 < len(expected) < len(rows)
    assert run("tabix", path, f"one:{low}-{high}").splitlines() == expected


@pytest.mark.parametrize("form", FORMS)
def test_bedtools_reads(form: str, written: Written) -> None:
    path = written.write(form)
    exons = sum(len(gene.exons) for genes in written.genes.values() for gene in genes)
    merged = run("bedtools", "merge", "-i", path).splitlines()
    assert len(merged) == (sum(map(len, written.genes.values())) if form == "gff3" else exons)
    kept = run("bedtools", "intersect", "-a", path, "-b", path, "-u").splitlines()
    assert kept == [line for line in path.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("form", ["bed", "bed9"])
def test_bedops_reads(form: str, written: Written) -> None:
    written.genes = {name: written.genes[name] for name in sorted(written.genes)}  # as it wants contigs
    path = written.write(form)
    rows = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert run("bedops", "--ec", "--everything", path).splitlines() == rows
