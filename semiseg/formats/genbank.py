"""Coding sequences of GenBank flat files."""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from ..errors import SemisegError
from ..genes import Transcript
from .coding import Part, join_parts

RANGE = re.compile(r"([<>]?)(\d+)(?:\.\.([<>]?)(\d+))?")
OPERATOR = re.compile(r"(complement|join|order)\((.*)\)")
NAMES = ("protein_id", "transcript_id", "locus_tag", "gene")  # of a transcript, the first that is there
GENE_NAMES = ("locus_tag", "gene")


class Feature(NamedTuple):
    """An entry of the feature table."""

    contig: str
    kind: str
    number: int  # of its first line
    lines: list[str]  # location and qualifiers, without the indent


class Span(NamedTuple):
    """One stretch of a location, 0-based and half-open."""

    start: int
    end: int
    strand: str
    cut: tuple[bool, bool]  # goes on beyond its low, and its high coordinate


def read_genbank(lines: Iterable[tuple[int, str]], source: str) -> tuple[list[Transcript], list[str]]:
    """Transcripts of the CDS entries in the file's order, and notes on what was left out."""
    transcripts: list[Transcript] = []
    pseudogenes = unusual = 0
    for feature in read_features(lines):
        if feature.kind != "CDS":
            continue
        location, qualifiers = split_feature(feature.lines)
        spans = parse_location(location, f"{source}, line {feature.number}")
        if "pseudo" in qualifiers or "pseudogene" in qualifiers:
            pseudogenes += 1
        elif not are_in_order(spans):
            unusual += 1
        else:
            transcripts.append(make_transcript(feature.contig, spans, qualifiers))
    notes = [
        (pseudogenes, "CDS marked as pseudogenes: left out"),
        (unusual, "CDS in several records, across the origin, on both strands or with inexact ends: left out"),
    ]
    return transcripts, [f"{count} {text}" for count, text in notes if count]


def read_features(lines: Iterable[tuple[int, str]]) -> Iterator[Feature]:
    """Entries of all feature tables; the sequence is named by VERSION, as in FASTA files of NCBI, else by LOCUS."""
    contig, in_table = "", False
    feature: Feature | None = None
    for number, line in lines:
        if not line.strip():
            continue
        starts_entry = in_table and re.match(r" {5}\S", line) is not None
        if feature is not None and (starts_entry or line[0] != " "):
            yield feature
            feature = None
        if line[0] != " ":
            key, *words = line.split()
            in_table = key == "FEATURES"
            if key in ("LOCUS", "VERSION") and words:
                contig = words[0]
        elif starts_entry:
            kind, *location = line.split(maxsplit=1)
            feature = Feature(contig, kind, number, location)
        elif feature is not None:
            feature.lines.append(line.strip())
    if feature is not None:
        yield feature


def split_feature(lines: list[str]) -> tuple[str, dict[str, str]]:
    """Location and qualifiers; of those that repeat a key, the first. A value in quotes may hold lines with a slash."""
    location, entries, is_open = "", [""], False
    for line in lines:
        if line.startswith("/") and not is_open:
            entries.append(line[1:])
        elif len(entries) > 1:
            entries[-1] += f" {line}"
        else:
            location += line
        is_open = entries[-1].count('"') % 2 == 1
    found: dict[str, str] = {}
    for entry in entries[1:]:
        key, _, value = entry.partition("=")
        found.setdefault(key.strip(), value.strip().strip('"'))
    return re.sub(r"\s", "", location), found


def parse_location(text: str, where: str) -> list[Span]:
    """Stretches in the order of transcription; none if one lies in another record or has inexact ends."""
    if text.count("(") != text.count(")") or not re.search(r"\d", text):
        raise SemisegError(f"{where}: expected a location, found {text[:40]!r}")
    if operator := OPERATOR.fullmatch(text):
        inner = [parse_location(part, where) for part in split_list(operator[2])]
        spans = [span for part in inner for span in part] if all(inner) else []
        return [mirror(span) for span in reversed(spans)] if operator[1] == "complement" else spans
    found = RANGE.fullmatch(text)
    if found is None:
        return []
    first, last = int(found[2]), int(found[4] or found[2])
    if not 1 <= first <= last:
        raise SemisegError(f"{where}: expected 1 <= start <= end, found {text}")
    return [Span(first - 1, last, "+", (bool(found[1]), bool(found[3])))]


def split_list(text: str) -> list[str]:
    """Parts between the commas that are in no parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def mirror(span: Span) -> Span:
    """The same stretch on the other strand."""
    return span._replace(strand="-" if span.strand == "+" else "+")


def are_in_order(spans: list[Span]) -> bool:
    """Whether the stretches follow each other along one strand."""
    if len({span.strand for span in spans}) != 1:
        return False
    rising = spans if spans[0].strand == "+" else spans[::-1]
    return all(before.start <= after.start for before, after in pairwise(rising))


def make_transcript(contig: str, spans: list[Span], qualifiers: dict[str, str]) -> Transcript:
    """The transcript of one CDS entry."""
    codon_start = qualifiers.get("codon_start", "1")
    phase = int(codon_start) - 1 if codon_start in ("1", "2", "3") else 0
    parts = [Part(span.start, span.end, None if i else phase, None, span.cut) for i, span in enumerate(spans)]
    low, high = min(span.start for span in spans), max(span.end for span in spans)
    names = [qualifiers[key] for key in NAMES if qualifiers.get(key)]
    name = names[0] if names else f"{contig}:{low + 1}-{high}"
    gene_ids = [qualifiers[key] for key in GENE_NAMES if qualifiers.get(key)]
    gene = join_parts(contig, spans[0].strand, name, parts).gene
    return Transcript(gene, gene_ids[0] if gene_ids else name)
