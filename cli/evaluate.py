"""`semiseg evaluate`"""

from pathlib import Path

import click

from . import options
from .keeping import Keeping

CLOSE = 3  # bases that a boundary of a gene may be off by


@click.command(cls=Keeping)
@click.argument("calls", type=click.Path(path_type=Path, allow_dash=True))
@click.argument("truth", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--kind", type=click.Choice(["genes", "intervals", "changepoints"]), default="genes", show_default=True,
    help="What is compared: coding genes, named segments of signals, or where series change.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.option(
    "--plot", type=click.Path(path_type=Path), callback=options.drawable(),
    help="Draw reliability and precision-recall of genes into this .png, .pdf or .svg.",
)  # fmt: skip
@click.option(
    "-r", "--region", "regions", multiple=True, metavar="NAME[:FROM-TO]",
    help="Only genes that lie here, if in part: from 1, both ends included; may be given several times.",
)  # fmt: skip
@click.option(
    "--tolerance", "tolerances", type=options.Number(0), multiple=True,
    help="What a boundary may be off by: bases (3), milliseconds with --rate (150, 40), or part of a series (0.01).",
)  # fmt: skip
@click.option("--rate", type=options.Number(0, min_open=True), help="Samples a second that intervals are in.")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Folder of series, by default TRUTH's.")
def command(
    calls: Path,
    truth: Path,
    kind: str,
    as_json: bool,
    plot: Path | None,
    regions: tuple[str, ...],
    tolerances: tuple[float, ...],
    rate: float | None,
    folder: Path | None,
) -> None:
    """Score calls against the truth.

    Genes: CALLS and TRUTH are GFF3, GTF or GenBank files, plain or compressed, or - for stdin. Coding exons are
    compared: bases on each strand, exons, introns, whole genes, and boundaries within a tolerance. Column 6 of CALLS
    is taken as the exon's posterior where it is a number from 0 to 1. Every isoform counts, and so do genes that
    overlap: `semiseg train` learns from one a gene, and from none that overlap.

    Intervals: CALLS and TRUTH are BED. Onsets and offsets of every name within tolerances, and intervals that overlap
    by half of their union, between the first and the last true segment of a sequence; the posteriors of ends that
    `semiseg decode` writes, against whether a true one lies within 20 ms.

    Change points: CALLS and TRUTH are BED of states, or a line a series, separated by commas: its name and change
    points; in TRUTH its name, a window that is ignored, and change points, where the folder of TRUTH, or --dir, has
    NAME.txt with a value a line. Covering, and F1 with and without the start of a series.
    """
    from . import evaluate_changepoints, evaluate_genes, evaluate_intervals

    if kind != "genes" and plot is not None:
        raise click.BadParameter("is drawn of genes only", param_hint="--plot")
    if kind != "genes" and regions:
        raise click.BadParameter("is for genes only", param_hint="--region")
    if kind != "changepoints" and folder is not None:
        raise click.BadParameter("is for change points only", param_hint="--dir")
    if kind == "intervals":
        evaluate_intervals.show(calls, truth, as_json, tolerances, rate)
        return
    if kind == "changepoints":
        if rate is not None or len(tolerances) > 1:
            raise click.BadParameter("change points have one tolerance, and no rate", param_hint="--tolerance")
        evaluate_changepoints.show(calls, truth, as_json, tolerances[0] if tolerances else None, folder)
        return
    if rate is not None or len(tolerances) > 1 or any(x != int(x) for x in tolerances):
        raise click.BadParameter("genes have one tolerance, in whole bases, and no rate", param_hint="--tolerance")
    evaluate_genes.show(calls, truth, as_json, plot, int(tolerances[0]) if tolerances else CLOSE, regions)
