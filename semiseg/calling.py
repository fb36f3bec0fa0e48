"""From a genome to files: calls as BED or GFF3, posteriors as tracks, in one pass."""

import hashlib
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

from . import __version__, bundled, depth
from .asked import Asked, Reading
from .assembly import Stretch
from .errors import SemisegError, UsageError
from .finder import Finder, load
from .following import Result, followed
from .formats.bed import EXTRA, LABELS, gene_rows, write_bed
from .formats.bgzip import is_compressed
from .formats.files import describe
from .formats.gff import write_gff3
from .formats.output import format_of, writing
from .formats.resumable import Output
from .formats.sequences import Sequences, open_sequences
from .formats.source import signal_kind
from .formats.tracks import form_of, open_tracks
from .gene_tracks import track_names
from .genes import Gene
from .genome import Census, decode_genome, decode_regions
from .parts import Region, read_regions, region

MARKED = 1 << 22  # bases of contigs between two marks
FORMS = ("bed", "bed9", "gff3")
ENDINGS = {".bed": "bed", ".gff3": "gff3", ".gff": "gff3"}
MEANING = "score: posterior of exactly this exon, {}; start_..., end_...: of its ends, and 95 % credible intervals"


class Begun(NamedTuple):
    """What a command on a genome works with."""

    model: Path
    finder: Finder
    census: Census
    sequences: Sequences


@contextmanager
def begun(asked: Asked, say: Callable[[str], None]) -> Iterator[Begun]:
    """Open what is asked about; `say` gets what is odd about it, and at last how it is unlike what was learnt from."""
    model = bundled.find(asked.model)
    finder, census = load(model), Census()
    finder.model.to(asked.settings.device)
    kind = signal_kind(asked.input)
    if kind is not None:
        raise SemisegError(f"{asked.input}: {kind}, but {model.stem} finds genes in FASTA: choose a --model of signals")
    with open_sequences(asked.input) as sequences:
        for note in sequences.notes:
            say(note)
        yield Begun(model, finder, census, sequences)
    for text in warnings(finder, census):
        say(text)


def call(
    asked: Asked,
    say: Callable[[str], None] = lambda text: None,
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Write what is asked for and return a summary; `report` gets positions done, and how many there are."""
    asked = sensible(asked)
    with begun(asked, say) as (path, finder, census, sequences), ExitStack() as stack:
        regions = chosen(asked, lambda: lengths_of(sequences, "a region needs"), say)
        settings = asked.settings._replace(tracks=asked.posteriors is not None, introns="intron" in asked.labels)

        def results(skip: int) -> Iterator[Result[Stretch]]:
            if regions:
                found = decode_regions(sequences, regions, finder, settings, census, asked.raw)
            else:
                found = decode_genome(sequences, finder, settings, census, asked.raw, skip)
            return followed(found, sink, lambda n: report(n, total))

        words = [word for word in asked.command if word != "--resume"]  # the file is the same with it and without
        comments = [
            f"semiseg {__version__}", *([f"command: {shlex.join(words)}"] if words else []),
            f"model: {path.name}, sha256 {bundled.digest(path)}",
            MEANING.format("uncalibrated" if asked.raw or finder.calibration is None else "calibrated"),
        ]  # fmt: skip
        sink = None
        if asked.posteriors is not None:
            names, contigs = track_names(finder.model.grammar), list(lengths_of(sequences, "tracks need").items())
            sink = open_tracks(
                asked.posteriors, asked.track_form or form_of(asked.posteriors), names, contigs, comments
            )
            stack.callback(sink.abort)
        total = sum(b - a for _, a, b in regions) or (sum(sequences.lengths.values()) if sequences.lengths else None)
        if asked.calls:
            write(results, asked, sequences, comments)
        else:
            for result in results(0):
                for _ in result.stretches:
                    pass
        if sink is not None:
            sink.close()
    return {"genes": census.genes, "bases": census.bases, "model": path.stem}


def sensible(asked: Asked) -> Asked:
    """Return what is asked of a genome, with what was left to be chosen; refuse what makes no sense there."""
    form = asked.form or format_of(asked.output, ENDINGS, "bed")
    labels = asked.labels or ("exon",)
    unknown = set(labels) - set(LABELS)
    if asked.reading != Reading() or asked.seconds:
        raise UsageError("--dataset, --rate, --channels and --unit are for models of signals, and this one finds genes")
    if form not in FORMS:
        raise UsageError(f"--format: expected one of {', '.join(FORMS)} of a model that finds genes, got {form}")
    if unknown:
        raise UsageError(f"--labels: expected some of {', '.join(LABELS)}, separated by commas")
    if form == "gff3" and labels != ("exon",):
        raise UsageError("--labels: GFF3 always has exons and CDS; choose --format bed")
    return asked._replace(form=form, labels=labels)


def chosen(asked: Asked, lengths_there: Callable[[], Mapping[str, int]], say: Callable[[str], None]) -> list[Region]:
    """Return the regions asked for, in the file's order, those that overlap as one; none: everything."""
    if not asked.regions and asked.regions_bed is None:
        return []
    lengths = lengths_there()
    given = [region(text, lengths, "--region", say) for text in asked.regions]
    if asked.regions_bed is not None:
        given += read_regions(asked.regions_bed, lengths, say)
    order = {name: i for i, name in enumerate(lengths)}
    out: list[Region] = []
    for one in sorted(given, key=lambda r: (order[r.name], r.start, r.end)):
        if out and out[-1].name == one.name and one.start <= out[-1].end:
            out[-1] = out[-1]._replace(end=max(out[-1].end, one.end))
        else:
            out.append(one)
    if not out:
        raise SemisegError(f"{asked.regions_bed}: no region in it")
    return out


def resume_key(asked: Asked, comments: Sequence[str]) -> str:
    """Return what two runs must have in common for one to go on where the other was killed."""
    there = asked.input.stat()
    same = [asked.input.resolve(), there.st_size, there.st_mtime_ns, asked.form, asked.labels, asked.least, asked.raw]
    same += [asked.settings.accurate, *comments]
    return hashlib.sha256(repr(same).encode()).hexdigest()


def marked(results: Callable[[int], Iterator[Result[Stretch]]], stream: Output) -> Iterator[Result[Stretch]]:
    """Yield results, but for those of a run before, and mark how many are written: at the same places in every run.

    Marks stand between contigs: the genes of one are counted on from region to region.
    """
    done, bases, name = stream.done, 0, ""
    for result in results(done):
        if bases >= MARKED and result.name != name:
            stream.mark(done)
            bases = 0
        stream.begin()
        yield result
        done, bases, name = done + 1, bases + (result.length or 0), result.name


def lengths_of(sequences: Sequences, who: str) -> Mapping[str, int]:
    """Return the lengths of all records, which a pipe does not tell."""
    if sequences.lengths is None:
        raise SemisegError(f"{describe(sequences.path)}: {who} a file: a pipe can be read only once and in order")
    return sequences.lengths


def write(
    results: Callable[[int], Iterator[Result[Stretch]]], asked: Asked, sequences: Sequences, comments: Sequence[str]
) -> None:
    """Write the genes of all results but the first so many."""
    is_gff = asked.form == "gff3"
    whole = not asked.regions and asked.regions_bed is None  # regions are soon done again
    key = resume_key(asked, comments) if asked.resume and whole else None
    with writing(asked.output, "gff" if is_gff else "bed", key) as stream:
        found = marked(results, stream) if isinstance(stream, Output) else results(0)
        if is_gff:
            has_index = asked.output is not None and is_compressed(asked.output)
            lengths = list((sequences.lengths or {}).items()) if has_index else None
            write_gff3(by_contig(found, asked.least), stream, comments, regions=lengths)
            return
        form: Literal["bed", "bed9"] = "bed9" if asked.form == "bed9" else "bed"
        rows = (
            row
            for contig, _, genes in by_contig(found, asked.least)
            for number, gene in enumerate(genes, start=1)
            for row in gene_rows(gene, gene.name or f"{contig}_{number}", form, asked.labels)
        )
        write_bed(rows, stream, EXTRA[form], comments)


def by_contig(results: Iterator[Result[Stretch]], least: float) -> Iterator[tuple[str, int | None, Iterator[Gene]]]:
    """Yield name, length and genes of every contig; several regions of one are one, so that its genes count on."""

    def genes(group: Iterator[Result[Stretch]]) -> Iterator[Gene]:
        for result in group:
            for stretch in result.stretches:
                yield from (g for g in stretch.genes if g.posterior is None or g.posterior >= least)

    for (name, length), group in groupby(results, key=lambda result: (result.name, result.length)):
        yield name, length, genes(group)


def warnings(finder: Finder, census: Census) -> list[str]:
    """Return a sentence for each way in which the genome is unlike those that the model learnt from."""
    ranges = depth.from_json(finder.about.get("depth"))
    if ranges is None or census.known < depth.LEAST:
        return []
    return depth.warnings(ranges, census.gc / census.known, census.genic / census.known)
