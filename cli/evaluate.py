"""`semiseg evaluate`"""

from pathlib import Path

import click

CLOSE = 3  # bases that a boundary of a gene may be off by


@click.command()
@click.argument("calls", type=click.Path(path_type=Path, allow_dash=True))
@click.argument("truth", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--kind", type=click.Choice(["genes", "intervals"]), default="genes", show_default=True,
    help="What is compared: coding genes, or named segments of signals.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw reliability and precision-recall of genes here.")
@click.option(
    "--tolerance", "tolerances", type=click.FloatRange(min=0), multiple=True,
    help="Bases or positions that a boundary may be off by (3), or milliseconds with --rate (150 and 40).",
)  # fmt: skip
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Samples a second that intervals are in.")
def command(
    calls: Path,
    truth: Path,
    kind: str,
    as_json: bool,
    plot: Path | None,
    tolerances: tuple[float, ...],
    rate: float | None,
) -> None:
    """Score calls against the truth.

    Genes: CALLS and TRUTH are GFF3, GTF or GenBank files, plain or compressed, or - for stdin. Coding exons are
    compared: bases on each strand, exons, introns, whole genes, and boundaries within a tolerance. Column 6 of CALLS
    is taken as the exon's posterior where it is a number from 0 to 1.

    Intervals: CALLS and TRUTH are BED. Onsets and offsets of every name within tolerances, and intervals that overlap
    by half of their union, between the first and the last true segment of a sequence; the posteriors of ends that
    `semiseg decode` writes, against whether a true one lies within 20 ms.
    """
    from . import evaluate_genes, evaluate_intervals

    if kind == "intervals":
        if plot is not None:
            raise click.BadParameter("is drawn of genes only", param_hint="--plot")
        evaluate_intervals.show(calls, truth, as_json, tolerances, rate)
        return
    if rate is not None or len(tolerances) > 1 or any(x != int(x) for x in tolerances):
        raise click.BadParameter("genes have one tolerance, in whole bases, and no rate", param_hint="--tolerance")
    evaluate_genes.show(calls, truth, as_json, plot, int(tolerances[0]) if tolerances else CLOSE)
