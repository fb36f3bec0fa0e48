"""What a pass over all segmentations can add up, by name: sums, maxima, expectations and numbers of them."""

from typing import Literal, TypeAlias, get_args, overload

from torch import Tensor

from . import kernels
from .counting import count, log_count
from .errors import SemisegError
from .kernels import Potentials

Summed: TypeAlias = Literal["log", "max", "k-max", "entropy", "cross-entropy", "kl", "log-count"]
Semiring: TypeAlias = Summed | Literal["count"]
NAMES = (*get_args(Summed), "count")


@overload
def semiring(potentials: Potentials, name: Literal["count"]) -> list[int]: ...
@overload
def semiring(
    potentials: Potentials, name: Summed, *, other: Potentials | None = None, k: int | None = None
) -> Tensor: ...
def semiring(
    potentials: Potentials, name: Semiring, *, other: Potentials | None = None, k: int | None = None
) -> Tensor | list[int]:
    """Return (B,) values of a model under a semiring; no axis without a batch.

        log            log Z, differentiable, twice too
        max            the score of the best segmentation
        k-max          (B, k) those of the k best, falling; -inf where there are fewer
        entropy        nats, differentiable
        cross-entropy  nats of what is drawn from the model under the `other`, differentiable
        kl             nats of the model's divergence from the `other`, differentiable
        count          how many segmentations are possible: a list of exact integers; cost grows with the square of T
        log-count      the log of that, at any length

    torch-struct's StdSemiring, sums of products, is `count` where all weights are 1; of others it is the exp of `log`.

    >>> import torch
    >>> p = Potentials(torch.zeros(1, 4, 2), torch.zeros(3, 2), torch.zeros(2, 2))
    >>> semiring(p, "count"), semiring(p, "log-count")
    ([44], tensor([3.7842], dtype=torch.float64))
    """
    if name not in NAMES:
        raise SemisegError(f"semiring: expected one of {', '.join(NAMES)}, got {name!r}")
    if (other is not None) != (name in ("cross-entropy", "kl")):
        wanted = "the model to compare with" if other is None else "none"
        raise SemisegError(f"other: expected {wanted} for {name!r}")
    if (k is not None) != (name == "k-max"):
        raise SemisegError(f"k: expected {'a number' if k is None else 'none'} for {name!r}")
    if name == "k-max":
        assert k is not None
        return kernels.k_best(potentials, k).score
    if other is not None:
        return (kernels.kl if name == "kl" else kernels.cross_entropy)(potentials, other)
    if name == "count":
        return count(potentials)
    if name == "log-count":
        return log_count(potentials)
    if name == "max":
        return kernels.viterbi(potentials).score
    return (kernels.entropy if name == "entropy" else kernels.log_partition)(potentials)
