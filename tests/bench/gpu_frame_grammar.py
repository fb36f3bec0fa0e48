"""The gene grammar on the GPU, 37 labels with mixed K_c: introns of 2 kb look like what lies between genes.

Bars: 100 and 40 million positions a second, at most 30 % computed again. One random genome of 2 million bases, one
copy behind the other, stands for a long one: copies do not begin where chunks do.
"""

from collections.abc import Iterator

from semiseg.bench.device_models import GENOME, frame_grammar_there
from semiseg.bench.gpu_chromosome import operations
from semiseg.bench.record import Row


def run(quick: bool) -> Iterator[Row]:
    """A row per operation."""
    potentials = frame_grammar_there(2, 30_000) if quick else frame_grammar_there(10, GENOME)
    T, C = potentials.emissions.shape
    shape: Row = {"T": T, "C": C, "sum_K": int(potentials.longest.sum())}
    yield from operations(potentials, shape, {"viterbi": 100e6, "posteriors": 40e6}, quick)
