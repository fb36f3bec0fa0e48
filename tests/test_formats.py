"""Readers and writers: what goes out comes back, every format says the same, and bad input ends in one line."""

import gzip
import io
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby, pairwise
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semiseg.errors import SemisegError
from semiseg.formats.annotation import Annotation, Selection, read_annotation, select
from semiseg.formats.bed import COLOURS, EXTRA, BedRow, gene_rows, write_bed
from semiseg.formats.fasta import read_fasta
from semiseg.formats.gff import write_gff3
from semiseg.formats.repair import FRAGMENT
from semiseg.genes import Certainty, Exon, Gene, Transcript, kinds, phases


def zipped(data: bytes) -> bytes:
    """gzip without the hour, so that the parameters of tests are the same in every process."""
    return gzip.compress(data, mtime=0)


FASTA = b">chr1 first\nACGTNnacgt\nRYKM\n>empty\n>chr2\tx\n  AC GT \n\nTT\n"
RECORDS = [("chr1", "ACGTNnacgtRYKM"), ("empty", ""), ("chr2", "ACGTTT")]

GFF3 = """##gff-version 3
##sequence-region chr1 1 1000
chr1\ttest\tgene\t11\t100\t.\t+\t.\tID=g1
chr1\ttest\tmRNA\t11\t100\t.\t+\t.\tID=t1;Parent=g1
chr1\ttest\texon\t5\t40\t.\t+\t.\tParent=t1
chr1\ttest\tCDS\t11\t40\t.\t+\t0\tID=c1;Parent=t1
chr1\ttest\tCDS\t71\t100\t.\t+\t0\tID=c1;Parent=t1
###
chr1\ttest\tgene\t201\t300\t.\t-\t.\tID=g2
chr1\ttest\tmRNA\t201\t300\t.\t-\t.\tID=t2;Parent=g2
chr1\ttest\tCDS\t201\t231\t.\t-\t1\tID=c2;Parent=t2
chr1\ttest\tCDS\t281\t300\t.\t-\t0\tID=c2;Parent=t2
"""

GTF = """chr1\ttest\ttranscript\t11\t100\t.\t+\t.\tt1
chr1\ttest\tCDS\t11\t40\t.\t+\t0\ttranscript_id "t1"; gene_id "g1";
chr1\ttest\tCDS\t71\t97\t.\t+\t0\ttranscript_id "t1"; gene_id "g1";
chr1\ttest\tstop_codon\t98\t100\t.\t+\t0\ttranscript_id "t1"; gene_id "g1";
chr1\ttest\tCDS\t204\t231\t.\t-\t1\tgene_id "g2"; transcript_id "t2"; note "a; b"
chr1\ttest\tCDS\t281\t300\t.\t-\t0\tgene_id "g2"; transcript_id "t2";
chr1\ttest\tstop_codon\t201\t203\t.\t-\t0\tgene_id "g2"; transcript_id "t2";
"""

GENBANK = """LOCUS       chr1                    1000 bp    DNA     linear   INV 01-JAN-2000
DEFINITION  Nothing real.
VERSION     chr1
FEATURES             Location/Qualifiers
     source          1..1000
     CDS             join(11..40,
                     71..100)
                     /note="two lines, the second of which looks like
                     /locus_tag=another"
                     /locus_tag="g1"
                     /protein_id="t1"
                     /codon_start=1
     CDS             complement(join(201..231,281..300))
                     /locus_tag="g2"
                     /protein_id="t2"
ORIGIN
        1 acgtacgtac gtacgtacgt
//
"""

MODELS = [
    Transcript(Gene("chr1", "+", (Exon(10, 40), Exon(70, 100)), "t1"), "g1"),
    Transcript(Gene("chr1", "-", (Exon(200, 231), Exon(280, 300)), "t2"), "g2"),
]

# What stands between the lines and the file: line ends, compression.
STORAGE: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "windows": lambda data: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"),
    "gzip": zipped,
    "bgzip": lambda data: bgzip(data, 37),
    "windows gzip": lambda data: zipped(data.replace(b"\n", b"\r\n")),
    "no last line end": lambda data: data.rstrip(b"\n"),
}


def bgzip(data: bytes, size: int) -> bytes:
    """Blocks as bgzip writes them, each a gzip member with its size in an extra field, and an empty one at the end."""
    blocks = []
    for chunk in [*(data[i : i + size] for i in range(0, len(data), size)), b""]:
        packer = zlib.compressobj(wbits=-15)
        packed = packer.compress(chunk) + packer.flush()
        head = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(packed) + 25)
        blocks.append(head + packed + struct.pack("<II", zlib.crc32(chunk), len(chunk)))
    return b"".join(blocks)


def put(folder: Path, data: bytes | str, name: str = "file.txt") -> Path:
    """A file with the data."""
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def line(
    kind: str,
    start: int,
    end: int,
    strand: str,
    attributes: str,
    contig: str = "chr1",
    phase: str = ".",
    score: str = ".",
) -> str:
    """A line of a GFF file, 1-based."""
    return "\t".join([contig, "test", kind, str(start), str(end), score, strand, phase, attributes]) + "\n"


def write(genes: Iterable[Gene], length: int | None = None) -> str:
    """The genes as GFF3, on contigs of that length."""
    stream = io.StringIO()
    write_gff3(((name, length, found) for name, found in groupby(genes, lambda gene: gene.contig)), stream)
    return stream.getvalue()


def one_line(error: pytest.ExceptionInfo[SemisegError]) -> str:
    """The message, if it is one line."""
    message = str(error.value)
    assert message
    assert "\n" not in message
    assert message.isprintable()
    return message


def no_notes(annotation: Annotation) -> list[Gene]:
    """The genes of an annotation in which nothing had to be set right."""
    assert annotation.notes == []
    return [transcript.gene for transcript in annotation.transcripts]


@pytest.mark.parametrize("storage", STORAGE)
def test_fasta_is_read_however_it_is_stored(storage: str, tmp_path: Path) -> None:
    contigs = list(read_fasta(put(tmp_path, STORAGE[storage](FASTA))))
    assert [(contig.name, contig.sequence.tobytes().decode()) for contig in contigs] == RECORDS
    assert all(contig.sequence.dtype == np.uint8 and contig.sequence.flags.writeable for contig in contigs)


@pytest.mark.parametrize("storage", ["plain", "bgzip"])
def test_standard_input_is_read_and_stays_open(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO(STORAGE[storage](FASTA))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
    assert [contig.name for contig in read_fasta("-")] == ["chr1", "empty", "chr2"]
    assert not data.closed
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(STORAGE[storage](GFF3.encode()))))
    assert read_annotation("-").transcripts == MODELS


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "found no record"),
        (b"\n\n", "found no record"),
        (b"ACGT\n>a\nACGT\n", "line 1: expected FASTA"),
        (b"@read\nACGT\n+\nIIII\n", "line 1: expected FASTA"),
        (b">a\nAC\n>b\nAC\n>a x\nGT\n", "line 5: there is a second record named a"),
        (b">a\nAC\n> b\nAC\n", "line 3: expected a name"),
        (b">\nAC\n", "line 1: expected a name"),
        (b">a\nACGT\nACLT\n", r"record a: expected nucleotides \(IUPAC codes\), found 'L' at base 7"),
        (b">a\nAC\xffT\n", r"found '\\xff' at base 3"),
        (b">a\nAC\0T\n", "line 2: expected text, plain or gzip, found binary data"),
        (b">a\rACGT\r", "line 1: carriage return"),
        (bytes(range(31, 256)), "damaged gzip data"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "line 1: expected FASTA"),
        (zipped(FASTA * 100)[:-30], "the gzip data end early"),
        (zipped(FASTA)[:1], "the gzip data end early|damaged gzip data"),
        (bgzip(FASTA, 20)[:-40], "the gzip data end early"),
        (zipped(FASTA)[:-8] + b"01234567", "damaged gzip data"),
        (zipped(FASTA)[:12] + b"\xff\xff" + zipped(FASTA)[14:], "damaged gzip data"),
        (zipped(FASTA) + b"junk", "damaged gzip data"),
        (zipped(b""), "found no record"),
    ],
)
def test_bad_fasta_is_refused(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(SemisegError, match=message) as error:
        list(read_fasta(put(tmp_path, data)))
    assert "file.txt" in one_line(error)


@pytest.mark.parametrize("read", [lambda path: list(read_fasta(path)), read_annotation])
def test_what_is_no_file_is_refused(read: Callable[[Path], object], tmp_path: Path) -> None:
    for path, reason in [(tmp_path / "absent", "No such file"), (tmp_path, "Is a directory")]:
        with pytest.raises(SemisegError, match=reason) as error:
            read(path)
        assert str(path) in one_line(error)


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("text", [GFF3, GTF, GENBANK], ids=["GFF3", "GTF", "GenBank"])
def test_every_format_says_the_same(text: str, storage: str, tmp_path: Path) -> None:
    annotation = read_annotation(put(tmp_path, STORAGE[storage](text.encode())))
    assert annotation == Annotation(MODELS, [])


def test_nothing_annotated_is_an_empty_annotation(tmp_path: Path) -> None:
    for text in (
        "",
        "##gff-version 3\n",
        "##gff-version 3\n" + line("gene", 1, 9, ".", "ID=a"),
        GENBANK.partition("     CDS")[0],
    ):
        assert read_annotation(put(tmp_path, text)) == Annotation([], [])


def test_a_cds_belongs_to_all_its_parents_or_is_its_own(tmp_path: Path) -> None:
    text = (
        line("CDS", 1, 9, "+", "ID=c;Parent=a,b", phase="0")
        + line("CDS", 21, 29, "+", "ID=c;Parent=a", phase="0")
        + line("CDS", 101, 109, "+", "ID=d", phase="0")
        + line("CDS", 121, 129, "+", "ID=d", phase="0")
        + line("CDS", 201, 209, "+", "", phase="0")
        + line("CDS", 211, 219, "+", ".", phase="0")
        + line("mRNA", 1, 29, "+", "ID=a;Parent=g")  # parents may come after their children
    )
    transcripts, (note,) = read_annotation(put(tmp_path, text))
    assert note.startswith(
        "2 CDS row(s) with no ID and no Parent (in GTF, no transcript_id and no gene_id): they cannot"
    )
    assert [(gene_id, gene.name, [exon[:2] for exon in gene.exons]) for gene, gene_id in transcripts] == [
        ("g", "a", [(0, 9), (20, 29)]),
        ("b", "b", [(0, 9)]),
        ("d", "d", [(100, 109), (120, 129)]),
        ("chr1:201-209", "chr1:201-209", [(200, 209)]),
        ("chr1:211-219", "chr1:211-219", [(210, 219)]),
    ]


def test_names_are_percent_decoded(tmp_path: Path) -> None:
    text = line("mRNA", 1, 9, "+", "ID=a%3Bb%2Cc; Parent=g%25; Note=x%3Dy", contig="chr%201") + line(
        "CDS", 1, 9, "+", "Parent=a%3Bb%2Cc ", contig="chr%201", phase="0"
    )
    (transcript,) = read_annotation(put(tmp_path, text)).transcripts
    assert transcript == Transcript(Gene("chr 1", "+", (Exon(0, 9),), "a;b,c"), "g%")


def test_sequences_inside_a_gff_are_skipped(tmp_path: Path) -> None:
    for end in ("##FASTA\n>chr1\nACGT\n", ">chr1\nACGT\n"):
        assert read_annotation(put(tmp_path, GFF3 + end)).transcripts == MODELS


@pytest.mark.parametrize(
    ("strand", "parts", "stops", "exons"),
    [
        ("+", [(1, 9)], [(10, 12)], [(0, 12)]),
        ("-", [(10, 18)], [(7, 9)], [(6, 18)]),
        ("+", [(1, 9)], [(7, 9)], [(0, 9)]),  # the CDS has it already
        ("+", [(1, 9)], [(30, 32)], [(0, 9), (29, 32)]),  # an intron right before it
        ("+", [(1, 9)], [(10, 11), (30, 30)], [(0, 11), (29, 30)]),  # an intron within it
        ("-", [(30, 38)], [(28, 29), (10, 10)], [(9, 10), (27, 38)]),
    ],
)
def test_stop_codons_of_gtf_join_the_cds(
    strand: str,
    parts: list[tuple[int, int]],
    stops: list[tuple[int, int]],
    exons: list[tuple[int, int]],
    tmp_path: Path,
) -> None:
    attributes = 'transcript_id "t";'
    text = "".join(line("CDS", *part, strand, attributes, phase="0") for part in parts)
    text += "".join(line("stop_codon", *stop, strand, attributes) for stop in stops)
    (gene,) = no_notes(read_annotation(put(tmp_path, text)))
    assert [exon[:2] for exon in gene.exons] == exons
    assert (gene.phase, gene.partial) == (0, (False, False))


@pytest.mark.parametrize(
    ("ranges", "partial"),
    [
        (";partial=true;start_range=.,11", (True, False)),
        (";partial=true;end_range=19,.", (False, True)),
        (";partial=true;start_range=.,11;end_range=19,.", (True, True)),
        (";partial=true", (True, True)),
        ("", (False, False)),
    ],
)
def test_partial_genes_are_those_with_a_cds_cut_off(ranges: str, partial: tuple[bool, bool], tmp_path: Path) -> None:
    text = line("mRNA", 11, 19, "+", "ID=t;partial=true;start_range=.,11;end_range=19,.")  # cut in the UTR
    text += line("CDS", 11, 19, "+", f"Parent=t{ranges}", phase="0")
    (gene,) = no_notes(read_annotation(put(tmp_path, text)))
    assert gene.partial == partial


@pytest.mark.parametrize(
    ("strand", "columns", "ranges", "phase", "partial", "wrong"),
    [
        ("+", "02", "", 0, (False, False), False),
        ("-", "20", "", 0, (False, False), False),
        ("+", "01", "", 0, (False, False), True),
        ("+", "21", "", 2, (True, False), False),  # 11 bases: begins in a codon, although it does not say so
        ("-", "12", "", 2, (False, True), False),
        ("+", "10", "", 0, (False, False), True),  # as if the first base were lost, but that leaves half a codon
        ("+", "10", ";start_range=.,1", 1, (True, False), False),
        ("+", "10", ";end_range=27,.", 0, (False, True), True),
        ("+", "..", "", 0, (False, False), False),
        ("+", ".0", ";start_range=.,1", 1, (True, False), False),
        ("+", "20", ";start_range=.,1", 2, (True, False), True),
    ],
)
def test_phases_are_believed_where_they_agree(
    strand: str, columns: str, ranges: str, phase: int, partial: tuple[bool, bool], wrong: bool, tmp_path: Path
) -> None:
    lengths = (4, 7) if strand == "+" else (7, 4)
    first, second = (1, lengths[0]), (21, 20 + lengths[1])
    text = line("CDS", *first, strand, "Parent=t" + (ranges if "start" in ranges else ""), phase=columns[0])
    text += line("CDS", *second, strand, "Parent=t" + (ranges if "end" in ranges else ""), phase=columns[1])
    annotation = read_annotation(put(tmp_path, text))
    gene = annotation.transcripts[0].gene
    assert (gene.phase, gene.partial) == (phase, partial)
    assert annotation.notes == (
        ["1 transcript(s) with phases that contradict the lengths of the CDS: recomputed"] * wrong
    )


def test_scores_are_posteriors_only_if_all_can_be(tmp_path: Path) -> None:
    text = line("mRNA", 1, 9, "+", "ID=t", score="0.5") + line("CDS", 1, 9, "+", "Parent=t", phase="0", score="1")
    text += line("CDS", 21, 29, "+", "Parent=t", phase="0", score="x")
    (gene,) = no_notes(read_annotation(put(tmp_path, text)))
    assert (gene.posterior, [exon.posterior for exon in gene.exons]) == (0.5, [1.0, None])
    text += line("CDS", 31, 39, "+", "Parent=u", phase="0", score="37")
    annotation = read_annotation(put(tmp_path, text))
    assert annotation.notes == ["3 score(s) that go beyond 0 to 1 and are no posteriors: ignored"]
    for gene, _ in annotation.transcripts:
        assert gene.posterior is None
        assert all(exon.posterior is None for exon in gene.exons)


def test_ids_used_twice_are_kept_apart(tmp_path: Path) -> None:
    text = ""
    for contig, strand in [("chr1", "+"), ("chr2", "+"), ("chr1", "-")]:
        text += line("mRNA", 1, 9, strand, "ID=t;Parent=g", contig=contig)
        text += line("CDS", 1, 9, strand, "Parent=t", contig=contig, phase="0")
    annotation = read_annotation(put(tmp_path, text))
    assert [(gene.contig, gene.strand, gene_id) for gene, gene_id in annotation.transcripts] == [
        ("chr1", "+", "g"),
        ("chr2", "+", "g"),
        ("chr1", "-", "g"),
    ]
    assert annotation.notes == ["2 id(s) used on several sequences or strands: the genes were kept apart"]
    assert len(select(annotation, {"chr1": 9, "chr2": 9}).genes) == 1  # the two on chr1 overlap


def test_an_id_of_two_genes_is_said(tmp_path: Path) -> None:
    text = ""
    for at, transcript in [(1, "t"), (21, "u"), (41, "v")]:
        text += line("gene", at, at + 8, "+", f"ID={'g' if at < 40 else 'h'}")
        text += line("mRNA", at, at + 8, "+", f"ID={transcript};Parent={'g' if at < 40 else 'h'}")
        text += line("CDS", at, at + 8, "+", f"ID=c;Parent={transcript}", phase="0")
    annotation = read_annotation(put(tmp_path, text))
    assert len(annotation.transcripts) == 3
    said = "1 id(s) of several genes or transcripts of a strand: taken as one each: g"
    assert annotation.notes == [said]
    both = text + text.replace("\t+\t", "\t-\t")
    assert said in read_annotation(put(tmp_path, both)).notes  # named once, though both strands have it


def test_rows_that_are_there_twice_are_taken_once(tmp_path: Path) -> None:
    text = line("mRNA", 1, 9, "+", "ID=t") + line("CDS", 1, 9, "+", "ID=c;Parent=t", phase="0")
    annotation = read_annotation(put(tmp_path, text + text))
    assert [len(gene.exons) for gene, _ in annotation.transcripts] == [1]
    assert "1 CDS row(s) that are there twice: taken once" in annotation.notes


def test_pseudogenes_are_left_out(tmp_path: Path) -> None:
    text = line("CDS", 1, 9, "+", "Parent=a;pseudo=true", phase="0") + line("CDS", 21, 29, "+", "Parent=b", phase="0")
    annotation = read_annotation(put(tmp_path, text))
    assert [gene.name for gene, _ in annotation.transcripts] == ["b"]
    assert annotation.notes == ["1 transcript(s) marked as pseudogenes: left out"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("chr1\ttest\tCDS\t1\t9\t.\t+\n", "expected at least 8 columns separated by tabs, found 7"),
        (
            line("gene", 1, 9, "+", "ID=a").replace("\t9\t", "\tx\t"),
            "expected numbers as start and end, found '1' and 'x'",
        ),
        (line("CDS", 1, 9, "+", "ID=a").replace("\t1\t", "\t-1\t"), "expected numbers"),
        (line("CDS", 1, 9, "+", "ID=a").replace("\t1\t", "\t1.5\t"), "expected numbers"),
        (line("CDS", 9, 1, "+", "ID=a"), "expected 1 <= start <= end, found 9 and 1"),
        (line("CDS", 0, 1, "+", "ID=a"), "expected 1 <= start <= end, found 0 and 1"),
        (line("CDS", 1, 9, ".", "ID=a"), r"expected strand \+ or - for a CDS, found '\.'"),
        (line("stop_codon", 1, 3, "?", "ID=a"), "expected strand"),
        ("chr1 test CDS 1 9 . + 0 ID=a\n", "found 1"),
        (line("CDS", 1, 9, "+", "ID=a", phase="7"), "expected phase 0, 1 or 2, or . for none, found '7'"),
    ],
)
def test_a_malformed_line_is_named(bad: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SemisegError, match=message) as error:
        read_annotation(put(tmp_path, GFF3 + bad))
    assert one_line(error).startswith(f"{tmp_path / 'file.txt'}, line {GFF3.count(chr(10)) + 1}: ")


@pytest.mark.parametrize(
    "data",
    [
        b">chr1\nACGT\n",
        b">chr1\tx\nACGT\n",
        b"hello world\n",
        b"chr1 test CDS 1 9 . + 0 ID=a\n",
        b"\x89PNG\r\n\x1a\n\x07\x00",
        b"\x80\xff\n",
        b"chr1\t0\t9\n",
        b"# decoded\nchr1\t0\t9\tgene\t0.9\t+\n",
        b"chr1\t0\t9\tgene\t0\t+\t0\t9\t1,2,3\n",
    ],
)
def test_another_format_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(
        SemisegError, match=r"file.txt, line \d: .*(expected|read from) (GFF3, GTF.* or GenBank|text)"
    ) as error:
        read_annotation(put(tmp_path, data))
    one_line(error)


@pytest.mark.parametrize("read", [lambda path: list(read_fasta(path)), read_annotation])
@pytest.mark.parametrize("name", ["x.gz", "x.BGZ"])
def test_what_is_named_gzip_and_is_noise_is_refused(read: Callable[[Path], object], name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(bytes(range(128, 228)))
    with pytest.raises(SemisegError, match="named as gzip, but what is in it is neither gzip nor text") as error:
        read(path)
    one_line(error)


def test_plain_text_may_be_named_gzip(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_text(f">{'é' * 50}\nACGT\n")
    assert [contig.name for contig in read_fasta(path)] == ["é" * 50]


def test_a_cut_off_annotation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SemisegError, match="the file is cut off"):
        read_annotation(put(tmp_path, zipped(GFF3.encode())[:-20]))


def genbank(*features: str) -> str:
    """A file with CDS entries: their locations, and qualifiers after a blank."""
    entries = "".join(
        f"     CDS             {location}\n" + "".join(f"                     /{q}\n" for q in qualifiers)
        for location, *qualifiers in (feature.split() for feature in features)
    )
    return f"LOCUS       x 9 bp\nVERSION     chr1.2  GI:1\nFEATURES             Location/Qualifiers\n{entries}//\n"


@pytest.mark.parametrize(
    ("location", "gene"),
    [
        ("1..9", Gene("chr1.2", "+", (Exon(0, 9),))),
        ("7", Gene("chr1.2", "+", (Exon(6, 7),))),
        ("<1..9", Gene("chr1.2", "+", (Exon(0, 9),), partial=(True, False))),
        ("complement(1..>9)", Gene("chr1.2", "-", (Exon(0, 9),), partial=(False, True))),
        ("complement(join(<1..9,21..29))", Gene("chr1.2", "-", (Exon(0, 9), Exon(20, 29)), partial=(True, False))),
        ("join(complement(21..29),complement(1..9))", Gene("chr1.2", "-", (Exon(0, 9), Exon(20, 29)))),
        ("order(1..9,21..>29)", Gene("chr1.2", "+", (Exon(0, 9), Exon(20, 29)), partial=(False, True))),
        ("join(1..9,9..29)", Gene("chr1.2", "+", (Exon(0, 9), Exon(8, 29)))),
    ],
)
def test_locations_of_genbank(location: str, gene: Gene, tmp_path: Path) -> None:
    text = genbank(location + ' gene="a"')
    assert no_notes(read_annotation(put(tmp_path, text))) == [gene._replace(name="a")]


def test_qualifiers_of_genbank(tmp_path: Path) -> None:
    text = genbank(
        'join(<1..4,41..43,51..59) codon_start=3 locus_tag="a" gene="b"',
        'complement(2..>9) codon_start=2 gene="b" protein_id="c"',
        "11..19",
        "21..29 pseudo",
        '21..29 pseudogene="unknown"',
    )
    annotation = read_annotation(put(tmp_path, text))
    assert [(gene_id, gene.name, gene.phase) for gene, gene_id in annotation.transcripts] == [
        ("a", "a", 2),
        ("b", "c", 1),
        ("chr1.2:11-19", "chr1.2:11-19", 0),
    ]
    assert annotation.notes == ["2 CDS marked as pseudogenes: left out"]


@pytest.mark.parametrize(
    "location",
    [
        "join(21..29,1..9)",
        "join(1..9,complement(21..29))",
        "join(X1.1:1..9,21..29)",
        "1^2",
        "(1.3)..9",
        "complement(1.9)",
    ],
)
def test_unusual_locations_of_genbank_are_left_out(location: str, tmp_path: Path) -> None:
    annotation = read_annotation(put(tmp_path, genbank(location, "31..39")))
    assert len(annotation.transcripts) == 1
    assert len(annotation.notes) == 1
    assert annotation.notes[0].startswith("1 CDS in several records, across the origin")


@pytest.mark.parametrize("location", ["join(1..9,21..29", "join()", "9..1", "0..9", "join(1..9,)", "unknown"])
def test_malformed_locations_of_genbank_are_refused(location: str, tmp_path: Path) -> None:
    with pytest.raises(SemisegError, match="line 5: expected"):
        read_annotation(put(tmp_path, genbank("1..9", location)))


NAMES = st.text(min_size=1, max_size=8) | st.text("ab;=&,%\t\n\r >#~|'\"é\x85", min_size=1, max_size=4)
POSTERIORS = st.none() | st.integers(0, 10_000).map(lambda n: n / 10_000)


@st.composite
def gene_models(draw: st.DrawFn) -> Gene:
    """Any gene that makes sense: one that does not begin with a whole codon is cut off there."""
    steps = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=5))
    exons, at = [], 0
    for gap, length in steps:
        exons.append(Exon(at + gap, at + gap + length, draw(POSTERIORS)))
        at += gap + length
    strand = draw(st.sampled_from("+-"))
    partial = draw(st.tuples(st.booleans(), st.booleans()))
    phase = draw(st.integers(0, 2)) if partial[0 if strand == "+" else 1] else 0
    return Gene(draw(NAMES), strand, tuple(exons), draw(NAMES), phase, partial, draw(POSTERIORS))


@settings(max_examples=150, deadline=None)
@given(genes=st.lists(gene_models(), max_size=4, unique_by=lambda gene: gene.name))
def test_gff3_comes_back(genes: list[Gene], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = put(tmp_path_factory.getbasetemp(), write(genes), "genes.gff3")
    transcripts = read_annotation(path).transcripts
    assert [transcript.gene for transcript in transcripts] == genes
    assert [transcript.gene_id for transcript in transcripts] == [f"gene:{gene.name}" for gene in genes]


def test_gff3_has_every_line_of_a_gene() -> None:
    gene = Gene("chr 1~", "-", (Exon(9, 20, 0.5), Exon(30, 41, 0.98765)), "a;b", 1, (True, True), 0.25)
    ids, parent = "ID=cds:a%3Bb;Parent=a%3Bb", "Parent=a%3Bb"
    expected = [
        ["##gff-version 3"],
        ["##sequence-region chr%201%7E 1 100"],
        ["gene", "10", "41", "0.2500", "-", ".", "ID=gene:a%3Bb;partial=true;start_range=.,10;end_range=41,."],
        [
            "mRNA",
            "10",
            "41",
            "0.2500",
            "-",
            ".",
            "ID=a%3Bb;Parent=gene:a%3Bb;partial=true;start_range=.,10;end_range=41,.",
        ],
        ["exon", "10", "20", "0.5000", "-", ".", f"{parent};partial=true;start_range=.,10"],
        ["CDS", "10", "20", "0.5000", "-", "2", f"{ids};partial=true;start_range=.,10"],
        ["exon", "31", "41", "0.9877", "-", ".", f"{parent};partial=true;end_range=41,."],
        ["CDS", "31", "41", "0.9877", "-", "1", f"{ids};partial=true;end_range=41,."],
        ["###"],
    ]
    found = [text.split("\t") for text in write([gene], 100).splitlines()]
    assert {tuple(columns[:2]) for columns in found if len(columns) > 1} == {("chr%201%7E", "semiseg")}
    assert [columns[2:] if len(columns) > 1 else columns for columns in found] == expected


def test_gff3_phases_are_those_of_the_gene() -> None:
    gene = Gene("c", "+", (Exon(0, 4), Exon(10, 11), Exon(20, 31)), phase=2, partial=(True, False))
    column = [text.split("\t")[7] for text in write([gene]).splitlines() if "\tCDS\t" in text]
    assert column == ["2", "1", "0"] == [str(phase) for phase in phases(gene)]


def test_gff3_ids_are_unique() -> None:
    exons = (Exon(0, 3), Exon(9, 12))
    names = ["a", "", "a", "", "a_2", "c_2", "gene:x", "x", "c_6", "y", "gene:y"]
    lines = [text.split("\t") for text in write(Gene("c", "+", exons, name) for name in names).splitlines()]
    attributes = [dict(pair.split("=") for pair in columns[8].split(";")) for columns in lines if len(columns) == 9]
    ids = Counter(unquote(found["ID"]) for found in attributes if "ID" in found)
    assert len(ids) == 3 * len(names)
    assert sorted(ids.values()) == [1] * 2 * len(names) + [2] * len(names)  # one CDS has two parts
    transcripts = [
        unquote(found["ID"]) for found in attributes if {"ID", "Parent"} <= found.keys() and "cds:" not in found["ID"]
    ]
    assert transcripts[:4] == ["a", "c_2", "a_2", "c_4"]


def test_gff3_ids_do_not_take_longer_and_longer_to_find() -> None:
    began = time.process_time()
    attributes = [text.split("\t")[8] for text in write([gene(0, 3)._replace(name="a")] * 20_000).splitlines()[1::5]]
    assert attributes[1:3] == ["ID=gene:a_2", "ID=gene:a_3"]
    assert len({*attributes}) == 20_000
    assert time.process_time() - began < 10  # some 0.5 s; if every name were counted from 1, minutes


def test_gff3_says_the_length_of_a_contig_before_its_genes() -> None:
    stream = io.StringIO()
    contigs = [
        ("a", 50, [gene(0, 3, contig="a")]),
        ("b", 7, []),
        ("none", 0, []),
        ("c", None, [gene(6, 9, contig="c")]),
    ]
    write_gff3(contigs, stream, ["semiseg 1", "two\nlines", "caf\udce9.fa"])
    lines = stream.getvalue().splitlines()
    assert lines[:4] == ["##gff-version 3", "# semiseg 1", "# two lines", "# caf\\udce9.fa"]
    said = [text if text.startswith("#") else text.split("\t")[2] for text in lines[4:]]
    features = ["gene", "mRNA", "exon", "CDS", "###"]
    assert said == ["##sequence-region a 1 50", *features, "##sequence-region b 1 7", *features]


def test_gff3_with_the_regions_first_has_no_comments_between_genes() -> None:
    genes = [gene(0, 3), gene(6, 9)]
    stream = io.StringIO()
    write_gff3([("chr1", 50, genes), ("b", 7, [])], stream, ["semiseg 1"], [("chr1", 50), ("b", 7)])
    lines = stream.getvalue().splitlines()
    head = ["##gff-version 3", "# semiseg 1", "##sequence-region chr1 1 50", "##sequence-region b 1 7"]
    assert lines == head + [text for text in write(genes).splitlines() if not text.startswith("#")]
    stream = io.StringIO()
    write_gff3([("chr1", 50, genes)], stream, regions=())
    assert stream.getvalue().splitlines() == [head[0], *lines[4:]]


CERTAIN = Certainty(0.98765, 1, 0.9, 0.99999, (8, 11), (20, 20))


@pytest.mark.parametrize("strand", ["+", "-"])
def test_gff3_says_how_certain_an_exon_is(strand: str) -> None:
    exons = (Exon(9, 20, 0.9, CERTAIN), Exon(30, 41, 0.5))
    rows = [text.split("\t") for text in write([Gene("c", strand, exons, "g", 0, (True, True))]).splitlines()]
    more = "start_posterior=0.9877;end_posterior=1.0000;segment_posterior=0.9000;start_ci=9-12;end_ci=20-20"
    found = [(row[2], row[5], row[8].partition(";start_range=.,10;")[2]) for row in rows if len(row) == 9]
    assert found[2:] == [
        ("exon", "0.9000", more),
        ("CDS", "0.9000", more),
        ("exon", "0.5000", ""),
        ("CDS", "0.5000", ""),
    ]
    assert "posterior" not in rows[1][8] + rows[2][8]


def test_genes_are_written_as_they_come() -> None:
    stream = io.StringIO()

    def genes() -> Iterable[Gene]:
        for i in range(3):
            assert stream.getvalue().count("###") == i
            yield Gene("c", "+", (Exon(0, 3),))

    write_gff3([("c", None, genes())], stream)
    assert stream.getvalue().count("###\n") == 3


def test_bed() -> None:
    rows = [
        BedRow("chr1", 0, 9, "a\tb", 0.98765, "+", ("x", "1.5")),
        BedRow("chr1", 10, 19, "", None, ".", ("", "2")),
        BedRow("chr2", 3, 4, "c", 1.0, "-", ("y\n", "3")),
    ]
    stream = io.StringIO()
    write_bed(rows, stream, extra=("kind", "fold"))
    assert stream.getvalue() == (
        "#chrom\tstart\tend\tname\tscore\tstrand\tkind\tfold\n"
        "chr1\t0\t9\ta_b\t988\t+\tx\t1.5\n"
        "chr1\t10\t19\t.\t0\t.\t.\t2\n"
        "chr2\t3\t4\tc\t1000\t-\ty_\t3\n"
    )
    with pytest.raises(ValueError, match=r"expected 1 extra column\(s\), found 2"):
        write_bed(rows, io.StringIO(), extra=("kind",))


def test_bed_says_how_certain_an_exon_is() -> None:
    exons = (Exon(9, 20, 0.9, CERTAIN), Exon(30, 41))
    stream = io.StringIO()
    write_bed(gene_rows(Gene("c", "-", exons), "g"), stream, EXTRA["bed"], ["semiseg 1", "two\nlines"])
    assert stream.getvalue() == (
        "# semiseg 1\n# two lines\n"
        "#chrom\tstart\tend\tname\tscore\tstrand\tstart_posterior\tend_posterior\tsegment_posterior\tlabel_posterior"
        "\tstart_low\tstart_high\tend_low\tend_high\n"
        "c\t9\t20\tg\t900\t-\t0.9877\t1.0000\t0.9000\t1.0000\t8\t11\t20\t20\n"
        "c\t30\t41\tg\t0\t-" + 8 * "\t." + "\n"
    )


def test_bed9_is_coloured_by_kind() -> None:
    stream = io.StringIO()
    write_bed(gene_rows(Gene("c", "-", (Exon(9, 20, 0.9, CERTAIN), Exon(30, 41))), "g", "bed9"), stream, EXTRA["bed9"])
    header, first, second = (text.split("\t") for text in stream.getvalue().splitlines())
    assert header[6:10] == ["thickStart", "thickEnd", "itemRgb", "start_posterior"]
    assert first[6:10] == ["9", "20", COLOURS["terminal"], "0.9877"]
    assert second[6:10] == ["30", "41", COLOURS["initial"], "."]
    assert len({*COLOURS.values()}) == 4


@pytest.mark.parametrize(
    ("count", "partial", "expected"),
    [
        (1, (False, False), ["single"]),
        (1, (True, False), ["terminal"]),
        (1, (True, True), ["internal"]),
        (3, (False, False), ["initial", "internal", "terminal"]),
        (2, (True, False), ["internal", "terminal"]),
        (2, (False, True), ["initial", "internal"]),
    ],
)
def test_kinds_of_exons(count: int, partial: tuple[bool, bool], expected: list[str]) -> None:
    exons = tuple(Exon(10 * i, 10 * i + 3) for i in range(count))
    assert kinds(Gene("c", "+", exons, partial=partial)) == expected
    assert kinds(Gene("c", "-", exons, partial=partial[::-1])) == expected[::-1]


def gene(
    start: int, end: int, strand: str = "+", contig: str = "chr1", partial: tuple[bool, bool] = (False, False)
) -> Gene:
    """A gene with one exon."""
    return Gene(contig, strand, (Exon(start, end),), partial=partial)


def spliced(*places: int, strand: str = "+") -> Gene:
    """A gene with exons between pairs of places."""
    return Gene("chr1", strand, tuple(Exon(*pair) for pair in zip(places[::2], places[1::2], strict=True)))


def selected(*genes: Gene, ids: str = "", contigs: dict[str, int] | None = None) -> Selection:
    """The selection from genes, with a letter each as the gene's id; every one is its own if there are none."""
    names = ids or "".join(chr(ord("a") + i) for i in range(len(genes)))
    transcripts = [Transcript(gene, name) for gene, name in zip(genes, names, strict=True)]
    return select(Annotation(transcripts, []), contigs or {"chr1": 1000, "chr2": 500})


def test_good_genes_are_selected_in_order() -> None:
    genes = [gene(0, 9, contig="chr2"), spliced(100, 105, 150, 154), gene(30, 60, "-")]
    assert selected(*genes) == Selection([genes[2], genes[1], genes[0]], [], [])


def test_genes_that_touch_do_not_overlap() -> None:
    genes = [gene(0, 9), gene(9, 18, "-"), gene(18, 27)]
    assert selected(*genes) == Selection(genes, [], [])


def test_one_transcript_a_gene_is_selected() -> None:
    genes = [gene(0, 9), gene(0, 30), spliced(0, 9, 50, 59), gene(100, 109), gene(0, 3, contig="chr2")]
    note = "2 isoform(s) dropped: of each gene the one with the longest CDS was kept"
    assert selected(*genes, ids="aaaba") == Selection([genes[1], genes[3], genes[4]], [], [note])


def test_an_unusable_transcript_does_not_hide_a_usable_one() -> None:
    genes = [gene(10, 41), gene(10, 40), gene(100, 109)]
    note = "1 transcript(s) whose CDS length is no multiple of three: dropped"
    assert selected(*genes, ids="aab") == Selection(genes[1:], [], [note])


def test_genes_on_unknown_sequences_are_dropped() -> None:
    genes = [gene(0, 9), gene(0, 9, contig="1"), gene(20, 29, contig="1"), gene(0, 9, contig="MT")]
    assert selected(*genes) == Selection(
        genes[:1], [], ["3 transcript(s) on 1, MT, of which there is no sequence: dropped"]
    )


def test_names_that_all_differ_are_listed() -> None:
    genes = [gene(0, 9, contig=str(i)) for i in range(7)]
    with pytest.raises(SemisegError, match="share no name") as error:
        selected(*genes)
    assert "annotated are 0, 1, 2, 3, 4 and 2 more; the sequences are chr1, chr2" in one_line(error)


def test_genes_outside_the_sequence_are_dropped_and_masked() -> None:
    genes = [gene(0, 9), gene(992, 1001), gene(1200, 1209)]
    where = "b at chr1:993-1001 of 1000 bases, c at chr1:1201-1209 of 1000 bases"
    note = f"2 transcript(s) with CDS outside the sequence: dropped: {where}"
    assert selected(*genes) == Selection(genes[:1], [("chr1", 992, 1000)], [note])


def test_a_wrong_end_takes_no_other_gene_along() -> None:
    good = [gene(0, 30), gene(500, 530, "-"), gene(700, 730)]
    found = selected(*good, spliced(100, 120, 200, 99_999), gene(150, 2000), gene(510, 1001), gene(800, 1001))
    assert found.genes == good
    assert found.masked == [("chr1", 100, 500), ("chr1", 800, 1000)]
    (note,) = found.notes
    assert note.startswith("4 transcript(s) with CDS outside the sequence: dropped: d at chr1:101-99999 of 1000 bases,")


@pytest.mark.parametrize("gap", [0, 1, 2, 3, 4])
def test_short_gaps_are_closed(gap: int) -> None:
    found = selected(spliced(10, 20, 20 + gap, 31, 90, 99))
    assert found.genes == [spliced(10, 31, 90, 99)]
    assert found.notes == ["1 transcript(s) with gaps of at most 4 bp in the CDS: closed"]


def test_a_longer_gap_is_an_intron() -> None:
    assert selected(spliced(10, 20, 25, 30)) == Selection([spliced(10, 20, 25, 30)], [], [])


def test_a_closed_gap_keeps_the_lower_posterior() -> None:
    exons = (Exon(0, 4, 0.9), Exon(5, 7, 0.5), Exon(8, 9))
    assert selected(Gene("chr1", "+", exons)).genes == [Gene("chr1", "+", (Exon(0, 9, 0.5),))]


def test_a_broken_frame_is_dropped_unless_the_gene_is_partial() -> None:
    broken = spliced(10, 20, 22, 30)  # 18 bases, 20 when closed
    found = selected(broken, gene(100, 109))
    assert (found.genes, found.masked) == ([gene(100, 109)], [("chr1", 10, 30)])
    assert found.notes == [
        "1 transcript(s) whose CDS length is no multiple of three: dropped",
        "1 transcript(s) with gaps of at most 4 bp in the CDS: closed",
    ]
    partial = spliced(0, 20, 22, 30)._replace(partial=(True, False))
    assert selected(partial).genes == [gene(0, 30, partial=(True, False))]


@pytest.mark.parametrize(
    ("strand", "start", "end", "partial", "phase"),
    [
        ("+", 0, 10, (True, False), 1),
        ("-", 0, 10, (True, False), 0),
        ("+", 980, 1000, (False, True), 0),
        ("-", 980, 1000, (False, True), 2),
        ("+", 0, 1000, (True, True), 0),
    ],
)
def test_a_gene_cut_within_a_codon_by_the_end_is_partial(
    strand: str, start: int, end: int, partial: tuple[bool, bool], phase: int
) -> None:
    note = "1 transcript(s) that the sequence's end cuts within a codon: taken as partial"
    cut = gene(start, end, strand)
    assert selected(cut) == Selection([cut._replace(partial=partial, phase=phase)], [], [note])
    with pytest.raises(SemisegError, match="no multiple of three"):
        selected(gene(start + 1, end + 1, strand), contigs={"chr1": 1002})


@pytest.mark.parametrize("strand", ["+", "-"])
def test_fragments_are_masked_and_counted(strand: str) -> None:
    good = [gene(100, 130), gene(700, 730)]
    cut = [gene(0, 20, strand, partial=(True, False)), gene(970, 1000, strand, partial=(False, True))]
    fragment = spliced(300, 320, 400, 430, strand=strand)._replace(partial=(True, False))
    found = selected(cut[0], good[0], fragment, good[1], cut[1])
    assert (found.genes, found.masked) == ([cut[0], *good, cut[1]], [("chr1", 300, 430)])
    assert found.notes == [f"1 transcript(s) {FRAGMENT}"]
    whole = spliced(300, 320, 400, 410, strand=strand)
    assert selected(fragment, whole, ids="aa").genes == [whole]


@pytest.mark.parametrize(
    ("partial", "masked"), [((True, False), (0, 430)), ((False, True), (300, 500)), ((True, True), (0, 500))]
)
def test_what_may_be_cut_in_an_intron_is_masked_to_the_end(partial: tuple[bool, bool], masked: tuple[int, int]) -> None:
    fragment = gene(300, 430, contig="chr2", partial=partial)
    assert selected(gene(0, 30), fragment).masked == [("chr2", *masked)]


def test_parts_that_overlap_each_other_are_dropped() -> None:
    found = selected(spliced(10, 20, 19, 30), gene(100, 109))
    assert (found.genes, found.masked) == ([gene(100, 109)], [("chr1", 10, 30)])
    assert found.notes == ["1 transcript(s) with CDS parts that overlap each other: dropped"]


@pytest.mark.parametrize(
    ("others", "masked", "count"),
    [
        ([gene(100, 130), gene(120, 150, "-")], [("chr1", 100, 150)], 2),
        ([gene(100, 130), gene(129, 150)], [("chr1", 100, 150)], 2),
        ([spliced(100, 110, 200, 220), gene(120, 150, "-")], [("chr1", 100, 220)], 2),  # in the other's intron
        ([gene(100, 130), gene(120, 150, "-"), gene(141, 201)], [("chr1", 100, 201)], 3),  # a chain
        ([gene(100, 400), gene(110, 140), gene(200, 230)], [("chr1", 100, 400)], 3),
        ([gene(100, 130), gene(120, 151, "-")], [("chr1", 100, 151)], 1),  # the second is dropped anyway
        ([gene(100, 130), gene(120, 150), gene(100, 130, contig="chr2"), gene(120, 150, contig="chr2")], None, 4),
    ],
)
def test_genes_that_overlap_are_masked(
    others: list[Gene], masked: list[tuple[str, int, int]] | None, count: int
) -> None:
    alone = [gene(0, 30), gene(500, 530, "-")]
    found = selected(*others, *alone)
    assert found.genes == alone
    assert found.masked == (masked or [("chr1", 100, 150), ("chr2", 100, 150)])
    assert found.notes[-1] == f"{count} gene(s) that overlap others: masked"


def test_notes_of_reading_are_kept() -> None:
    annotation = Annotation(
        [Transcript(gene(0, 9), "a"), Transcript(gene(0, 9, contig="x"), "b")], ["1 thing: set right"]
    )
    assert select(annotation, {"chr1": 9}).notes == [
        "1 thing: set right",
        "1 transcript(s) on x, of which there is no sequence: dropped",
    ]
    assert annotation.notes == ["1 thing: set right"]


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(SemisegError, match="no CDS to learn from; 1 pseudogene") as error:
        select(Annotation([], ["1 pseudogene"]), {"chr1": 9})
    one_line(error)
    with pytest.raises(
        SemisegError, match=r"no gene to learn from; 2 transcript\(s\) with CDS outside the sequence"
    ) as error:
        selected(gene(990, 1008), gene(995, 1010))
    one_line(error)


@settings(max_examples=100, deadline=None)
@given(
    genes=st.lists(gene_models().map(lambda gene: gene._replace(contig="c")), min_size=1, max_size=6),
    length=st.integers(1, 90),
)
def test_a_selection_covers_every_gene_once(genes: list[Gene], length: int) -> None:
    transcripts = [Transcript(gene, str(i)) for i, gene in enumerate(genes)]
    try:
        found = select(Annotation(transcripts, []), {"c": length})
    except SemisegError:
        return
    spans = [(gene.exons[0].start, gene.exons[-1].end) for gene in found.genes] + [span[1:] for span in found.masked]
    spans.sort()
    assert all(low < high <= length for low, high in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    for gene in genes:
        low, high = gene.exons[0].start, gene.exons[-1].end
        known = high if high <= length else low + 1  # where a gene ends that reaches beyond is not known
        assert low >= length or any(start <= low and known <= end for start, end in spans)
