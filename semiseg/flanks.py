"""How far left of a region decoding begins, for the region to be as in the whole."""

from collections.abc import Callable

from .kernels import Potentials
from .kernels.views import forgets

FLANK = 1 << 15  # positions left of a region that are decoded with it, at first
NEAR = 1 << 14  # positions of a view, and of what lies beyond it, where a region is all that is asked for


def flank(stretch: Callable[[int, int], Potentials], length: int, first: int, aligned: int = 1) -> int:
    """Return where to begin, a multiple of `aligned`, for what begins at `first` to be as if it began at 0.

    `stretch` gives the potentials of a part of a sequence of that length.
    """
    size = FLANK
    while True:
        start = max(0, first - size) // aligned * aligned
        if start == 0:
            return 0
        earlier = max(0, first - 2 * size) // aligned * aligned
        if forgets(stretch(earlier, start), stretch(start, first), stretch(first, min(length, first + NEAR))):
            return start
        size *= 2
