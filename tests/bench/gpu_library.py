"""A training step of the layers next to pytorch-crf, torch-struct and flash-semicrf on the GPU: shapes as `library`."""

from collections.abc import Iterator

from semiseg.bench import library
from semiseg.bench.record import Row


def run(quick: bool) -> Iterator[Row]:
    """A row a shape and library."""
    yield from library.rows(quick, "cuda")
