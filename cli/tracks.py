"""`semiseg tracks`"""

import json
import sys
from pathlib import Path

import click

from .console import show_table
from .keeping import Keeping

DTYPES = ("float32", "float16", "uint8")
store = click.argument("store", type=click.Path(path_type=Path))


@click.group()
def command() -> None:
    """Make, look into and write out track stores: HDF5 of signals in bins along chromosomes."""


@command.command(cls=Keeping)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-g", "--genome", "sizes", required=True, type=click.Path(path_type=Path),
    help="Names and lengths of the chromosomes to read: chrom.sizes, or .fai.",
)  # fmt: skip
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The store to write, .h5.")
@click.option("--bin", "size", type=click.IntRange(1), default=200, show_default=True, help="Bases of a bin.")
@click.option("--dtype", type=click.Choice(DTYPES), default="float32", show_default=True, help="How values are stored.")
@click.option("--names", metavar="NAME,...", help="Of the tracks, instead of those of the files.")
@click.option("--partial", is_flag=True, help="A chromosome that a file does not have is not known, and no error.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def build(
    files: tuple[Path, ...],
    sizes: Path,
    output: Path,
    size: int,
    dtype: str,
    names: str | None,
    partial: bool,
    quiet: bool,
) -> None:
    """Make a store of one track a file, of bigWig, bedGraph, BED or BAM.

    A bin has the mean of what is known in it, and is not known where nothing is, which is another thing than 0. BED
    and BAM give the mean coverage, which is 0 where nothing lies.
    """
    import shlex

    from semiseg.formats.track_build import build

    from .progress import positions

    with positions(quiet) as report:
        build(
            output, sizes, files, size, dtype, names.split(",") if names else (), partial=partial,
            comments=[f"command: {shlex.join(['semiseg', *sys.argv[1:]])}"], report=report,
        )  # fmt: skip


@command.command()
@store
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def info(store: Path, as_json: bool) -> None:
    """Show the tracks and the chromosomes of a store."""
    from semiseg.formats.track_file import open_store

    found = open_store(store)
    names, contigs, size, comments = found.layout
    dtype = str(found.values[0].dtype) if found.values else "none"
    if as_json:
        about = {"bin_size": size, "dtype": dtype, "tracks": list(names), "contigs": dict(contigs)}
        click.echo(json.dumps({**about, "comments": list(comments)}))
        return
    show_table(("bin_size", "dtype", "tracks"), [(size, dtype, ",".join(names))])
    click.echo()
    show_table(("contig", "bases", "bins"), ((name, length, found.layout.bins(length)) for name, length in contigs))


@command.command(cls=Keeping)
@store
@click.argument("track")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path),
    help="The file to write: .bw, .bedGraph or .bedGraph.gz.",
)  # fmt: skip
def export(store: Path, track: str, output: Path) -> None:
    """Write one track of a store as bigWig or bedGraph; bins of which nothing is known are left out."""
    from semiseg.formats.track_export import export

    export(store, track, output)
