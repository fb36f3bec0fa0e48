"""Coding sequences of GFF3 and GTF files.

Both are read by the same loop, since only the last column tells them apart, and programs mix them. Lines that are not
used are held to the same columns and coordinates, but may be on no strand.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from ..errors import SemisegError, show_names
from ..genes import Transcript
from .coding import Part, join_parts, merge_stops

GFF3_ATTRIBUTES = re.compile(r"\s*[^\s=;\"]+\s*=|\s*\.?\s*$")
PHASES = {"0": 0, "1": 1, "2": 2, ".": None}
GTF_ATTRIBUTE = re.compile(r"\s*([^\s;]+)\s+(?:\"([^\"]*)\"|([^;]*))\s*(?:;|$)")


class Place(NamedTuple):
    """An id together with where it is used: unrelated genes may share one."""

    contig: str
    strand: str
    id: str


class Feature(NamedTuple):
    """One line, its coordinates 0-based and half-open."""

    contig: str
    kind: str
    start: int
    end: int
    score: float | None
    strand: str
    phase: int | None
    attributes: dict[str, str]  # not yet decoded, since a comma may separate values
    is_gff3: bool


def read_gff(lines: Iterable[tuple[int, str]], source: str) -> tuple[list[Transcript], list[str]]:
    """Transcripts with a CDS in the file's order, and notes on what was set right. Lines come with their numbers."""
    parts: dict[Place, list[Part]] = {}
    stops: dict[Place, list[tuple[int, int]]] = {}
    genes: dict[Place, str] = {}  # of a transcript
    scores: dict[Place, float] = {}  # of a transcript
    pseudogenes: set[Place] = set()
    given: Counter[tuple[str, Place]] = Counter()  # kinds of features, and their ids
    nameless = doubled = 0
    for number, line in lines:
        if line.startswith(("##FASTA", ">")):
            break
        if line.startswith("#") or not line.strip():
            continue
        feature = parse_line(line, f"{source}, line {number}")
        if feature.kind == "CDS":
            nameless += not any(names(feature))
            for place in owners(feature):
                part, others = make_part(feature), parts.setdefault(place, [])
                if part in others:
                    doubled += 1
                else:
                    others.append(part)
                if feature.attributes.get("pseudo") == "true":
                    pseudogenes.add(place)
                if "gene_id" in feature.attributes and not feature.is_gff3:
                    genes[place] = feature.attributes["gene_id"]
        elif feature.kind == "stop_codon":
            for place in owners(feature):
                stops.setdefault(place, []).append((feature.start, feature.end))
        elif feature.kind != "exon" and "ID" in feature.attributes:
            place = Place(feature.contig, feature.strand, unquote(feature.attributes["ID"]))
            given[feature.kind, place] += 1
            if "Parent" in feature.attributes:
                genes[place] = values(feature.attributes["Parent"])[0]
            if feature.score is not None:
                scores[place] = feature.score
    again = {place for (_, place), count in given.items() if count > 1}
    transcripts, notes = gather(parts, stops, genes, scores, pseudogenes, again)
    if doubled:
        notes.append(f"{doubled} CDS row(s) that are there twice: taken once")
    if nameless:
        known = "no ID and no Parent (in GTF, no transcript_id and no gene_id)"
        notes.insert(0, f"{nameless} CDS row(s) with {known}: they cannot be grouped into genes, each is taken as one")
    return transcripts, notes


def gather(
    parts: dict[Place, list[Part]],
    stops: dict[Place, list[tuple[int, int]]],
    genes: dict[Place, str],
    scores: dict[Place, float],
    pseudogenes: set[Place],
    again: set[Place],
) -> tuple[list[Transcript], list[str]]:
    """Transcripts of the parts, and notes; scores are posteriors if all of the file's lie between 0 and 1.

    `again` are ids that several features of a kind have.
    """
    parts = {place: found for place, found in parts.items() if place not in pseudogenes}
    given = [part.score for found in parts.values() for part in found if part.score is not None]
    given += [scores[place] for place in parts if place in scores]
    are_posteriors = all(0 <= score <= 1 for score in given)
    transcripts, wrong = [], 0
    for place, found in parts.items():
        if place in stops:
            found = merge_stops(found, stops[place])
        if not are_posteriors:
            found = [part._replace(score=None) for part in found]
        posterior = scores.get(place) if are_posteriors else None
        gene, wrong_phase = join_parts(*place, found, posterior)
        transcripts.append(Transcript(gene, genes.get(place) or place.id))
        wrong += wrong_phase
    used = {place._replace(id=name) for place in parts for name in (place.id, genes.get(place) or place.id)}
    repeated = sum(count > 1 for count in Counter(place.id for place in used).values())
    twice = sorted({place.id for place in used & again})
    notes = [
        (len(pseudogenes), "transcript(s) marked as pseudogenes: left out"),
        (repeated, "id(s) used on several sequences or strands: the genes were kept apart"),
        (len(twice), f"id(s) of several genes or transcripts of a strand: taken as one each: {show_names(twice)}"),
        (wrong, "transcript(s) with phases that contradict the lengths of the CDS: recomputed"),
        (0 if are_posteriors else len(given), "score(s) that go beyond 0 to 1 and are no posteriors: ignored"),
    ]
    return transcripts, [f"{count} {text}" for count, text in notes if count]


def parse_line(line: str, where: str) -> Feature:
    """The feature of a line."""
    columns = line.split("\t")
    if len(columns) < 8:
        raise SemisegError(f"{where}: expected at least 8 columns separated by tabs, found {len(columns)}")
    contig, _, kind, first, last, score, strand, phase = columns[:8]
    if not all(text.isascii() and text.isdigit() for text in (first, last)):
        raise SemisegError(f"{where}: expected numbers as start and end, found {first!r} and {last!r}")
    if not 1 <= int(first) <= int(last):
        raise SemisegError(f"{where}: expected 1 <= start <= end, found {first} and {last}")
    if kind in ("CDS", "stop_codon") and strand not in ("+", "-"):
        raise SemisegError(f"{where}: expected strand + or - for a {kind}, found {strand!r}")
    if kind == "CDS" and phase not in PHASES:
        raise SemisegError(f"{where}: expected phase 0, 1 or 2, or . for none, found {phase!r}")
    text = columns[8] if len(columns) > 8 else ""
    is_gff3 = GFF3_ATTRIBUTES.match(text) is not None
    return Feature(
        contig=unquote(contig) if is_gff3 else contig,
        kind=kind,
        start=int(first) - 1,
        end=int(last),
        score=parse_score(score),
        strand=strand,
        phase=PHASES.get(phase),
        attributes=parse_gff3(text) if is_gff3 else parse_gtf(text),
        is_gff3=is_gff3,
    )


def parse_score(text: str) -> float | None:
    """A number, or None where there is none."""
    try:
        score = float(text)
    except ValueError:
        return None
    return score if math.isfinite(score) else None


def parse_gff3(text: str) -> dict[str, str]:
    """Attributes written as key=value;key=value."""
    pairs = (field.partition("=") for field in text.split(";"))
    return {unquote(key.strip()): value.strip() for key, sign, value in pairs if sign}


def parse_gtf(text: str) -> dict[str, str]:
    """Attributes written as key "value"; key "value"; of those that repeat a key, the first."""
    found: dict[str, str] = {}
    for key, quoted, bare in GTF_ATTRIBUTE.findall(text):
        found.setdefault(key, quoted or bare.strip())
    return found


def values(text: str) -> list[str]:
    """Decoded values of a GFF3 attribute."""
    return [unquote(value) for value in text.split(",")]


def names(feature: Feature) -> Sequence[str]:
    """What the transcripts that a CDS belongs to are called; empty where it names none."""
    attributes = feature.attributes
    if feature.is_gff3:
        return values(attributes.get("Parent") or attributes.get("ID", ""))
    return [attributes.get("transcript_id") or attributes.get("gene_id", "")]


def owners(feature: Feature) -> Sequence[Place]:
    """The transcripts that a CDS belongs to; one that names none is its own, named after where it lies."""
    own = f"{feature.contig}:{feature.start + 1}-{feature.end}"
    return [Place(feature.contig, feature.strand, name or own) for name in dict.fromkeys(names(feature))]


def make_part(feature: Feature) -> Part:
    """The CDS line as part of a coding sequence; its neighbours, gene and mRNA, may be incomplete where it is not."""
    low = feature.attributes.get("start_range", "").startswith(".,")
    high = feature.attributes.get("end_range", "").endswith(",.")
    partial = feature.attributes.get("partial") == "true"
    return Part(feature.start, feature.end, feature.phase, feature.score, (low, high), partial)
