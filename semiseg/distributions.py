"""Distributions over segmentations and over label sequences as objects, with the names that torch-struct gives them."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from . import kernels, targets
from .counting import expected_segments, log_count
from .errors import SemisegError
from .hidden_states import check_finite, checked
from .kernels import Boundary, KBest, Marginals, Potentials, Segments, Viterbi
from .kernels.checks import check_types
from .kernels.devices import moved
from .path_score import path_of, path_score
from .targets import Listed


class SemiMarkov:
    """The distribution of a semi-Markov CRF over segmentations; every value comes with a batch axis.

    Factors stand in place of torch-struct's table (B, N, K, C, C), which holds all their sums: see `Potentials`.

    >>> p = Potentials(torch.zeros(1, 4, 2), torch.zeros(3, 2), torch.zeros(2, 2))
    >>> SemiMarkov(p).count  # segments of one or two positions
    tensor([44.], dtype=torch.float64)
    >>> SemiMarkov(p).log_prob([[(0, 2, 1), (2, 4, 0)]]).exp() * 44
    tensor([1.0000], dtype=torch.float64)
    """

    def __init__(self, potentials: Potentials):
        check_types(potentials)
        p = potentials
        if p.emissions.ndim == 2:
            maps = tuple(b._replace(scores=b.scores[None]) for b in p.boundaries)
            p = p._replace(emissions=p.emissions[None], boundaries=maps)
        self.potentials = p

    @property
    def batch_shape(self) -> torch.Size:
        """Return (B,)."""
        return self.potentials.emissions.shape[:1]

    @property
    def lengths(self) -> Tensor:
        """Return (B,) positions of every item."""
        B, T, _ = self.potentials.emissions.shape
        return torch.full((B,), T) if self.potentials.lengths is None else self.potentials.lengths.cpu()

    @property
    def partition(self) -> Tensor:
        """Return (B,) log Z, differentiable twice."""
        return kernels.log_partition(self.potentials)

    def log_prob(self, value: Segments | Listed) -> Tensor:
        """Return (B,) log probabilities of one segmentation an item, differentiable."""
        p = self.potentials
        names = tuple(map(str, range(p.emissions.shape[-1])))
        path = targets.read_path(value, names, self.lengths.numpy())
        if bool((path.label == targets.UNKNOWN).any()):
            raise SemisegError("value: expected labels of all segments")
        return path_score(p, moved(path, p.emissions.device)) - self.partition

    @property
    def best(self) -> Viterbi:
        """Return the likeliest segmentation with its score; `argmax` and `max` are parts of it."""
        return kernels.viterbi(self.potentials)

    @property
    def argmax(self) -> Segments:
        """Return the likeliest segmentation of every item."""
        return self.best.segments

    @property
    def max(self) -> Tensor:
        """Return (B,) its score."""
        return self.best.score

    @property
    def marginals(self) -> Marginals:
        """Return posteriors of starts, ends and positions, and expected transitions, durations and boundaries."""
        return kernels.marginals(
            self.potentials, want=("start", "end", "position", "transitions", "durations", "boundaries")
        )

    @property
    def entropy(self) -> Tensor:
        """Return (B,) nats, differentiable."""
        return kernels.entropy(self.potentials)

    def cross_entropy(self, other: "SemiMarkov") -> Tensor:
        """Return (B,) nats of what is drawn here under another distribution."""
        return kernels.cross_entropy(self.potentials, other.potentials)

    def kl(self, other: "SemiMarkov") -> Tensor:
        """Return (B,) nats of divergence from another distribution."""
        return kernels.kl(self.potentials, other.potentials)

    def topk(self, k: int) -> KBest:
        """Return the k likeliest segmentations and their scores, best first; -inf, and no rows: an item has no more."""
        return kernels.k_best(self.potentials, k)

    def sample(self, n: int = 1) -> list[Segments]:
        """Return n exact samples, each of all items; torch.manual_seed makes them the same."""
        return kernels.sample(self.potentials, n, seed=int(torch.randint(2**62, ())))

    @property
    def count(self) -> Tensor:
        """Return (B,) float64, how many segmentations are possible: by way of the log, at any length.

        Exact below 2^36, right to eleven digits above, inf from 1.8e308 on; `semiring(p, "count")` has exact integers.
        """
        return log_count(self.potentials).exp().round()

    @property
    def segments(self) -> Tensor:
        """Return (B, C) how many segments of each label are expected."""
        return expected_segments(self.potentials)


class LinearChain:
    """The distribution of a linear-chain CRF over labels (B, N), from the table that torch-struct has for it.

    `log_potentials` (B, N - 1, C, C): the score of label c (first of the two) behind c' (second), by position.

    >>> chain = LinearChain(torch.zeros(1, 3, 2, 2))
    >>> chain.count, chain.argmax
    (tensor([16.], dtype=torch.float64), tensor([[0, 0, 0, 0]]))
    """

    def __init__(self, log_potentials: Tensor, lengths: Tensor | None = None):
        if log_potentials.ndim != 4 or log_potentials.shape[2] != log_potentials.shape[3]:
            raise SemisegError(f"log_potentials: expected (B, N - 1, C, C), got {tuple(log_potentials.shape)}")
        B, N, C = log_potentials.shape[0], log_potentials.shape[1] + 1, log_potentials.shape[2]
        self.log_potentials = log_potentials
        blank = log_potentials.new_zeros(B, N, C)
        self.lengths = checked(blank, lengths, C).cpu()
        if N > 1:
            check_finite(log_potentials.detach().flatten(2), self.lengths - 1, forbidding=True, name="log_potentials")
        changes = pad(log_potentials.transpose(2, 3).flatten(2), (0, 0, 1, 1))
        behind = torch.arange(N + 1) >= self.lengths[:, None]  # nothing changes at the end and beyond
        scores = changes.masked_fill(behind.to(changes.device)[..., None], 0.0)
        types = torch.arange(C * C).reshape(C, C)
        self.segmentations = SemiMarkov(
            Potentials(
                blank,
                blank.new_zeros(2, C),
                blank.new_zeros(C, C),
                boundaries=(Boundary(scores, types),),
                lengths=self.lengths,
            )
        )

    @property
    def batch_shape(self) -> torch.Size:
        """Return (B,)."""
        return self.log_potentials.shape[:1]

    @property
    def partition(self) -> Tensor:
        """Return (B,) log Z, differentiable twice."""
        return self.segmentations.partition

    def log_prob(self, value: Tensor) -> Tensor:
        """Return (B,) log probabilities of labels (B, N), differentiable."""
        C, N = self.log_potentials.shape[2], self.log_potentials.shape[1] + 1
        labels = targets.read_labels(value, self.lengths.numpy(), N, C)
        return self.segmentations.log_prob(path_of(labels, self.lengths.numpy(), joined=False))

    @property
    def argmax(self) -> Tensor:
        """Return (B, N) the likeliest labels, -1 behind the end of an item."""
        return self._labels(self.segmentations.argmax)

    @property
    def max(self) -> Tensor:
        """Return (B,) their score."""
        return self.segmentations.max

    @property
    def marginals(self) -> Tensor:
        """Return (B, N - 1, C, C) posteriors of neighbouring labels, differentiable where the potentials are."""
        trained = self.log_potentials.requires_grad
        edges = self.log_potentials if trained else self.log_potentials.detach().requires_grad_()
        with torch.enable_grad():
            z = (self if trained else LinearChain(edges, self.lengths)).partition
            (found,) = torch.autograd.grad(z.sum(), edges, create_graph=trained)
        return found

    @property
    def entropy(self) -> Tensor:
        """Return (B,) nats, differentiable."""
        return self.segmentations.entropy

    def cross_entropy(self, other: "LinearChain") -> Tensor:
        """Return (B,) nats of what is drawn here under another distribution."""
        return self.segmentations.cross_entropy(other.segmentations)

    def kl(self, other: "LinearChain") -> Tensor:
        """Return (B,) nats of divergence from another distribution."""
        return self.segmentations.kl(other.segmentations)

    def topk(self, k: int) -> tuple[Tensor, Tensor]:
        """Return (k, B, N) the likeliest labels, best first, and (B, k) scores; -1 and -inf: an item has no more."""
        found = self.segmentations.topk(k)
        return torch.stack([self._labels(path) for path in found.segments]), found.score

    def sample(self, n: int = 1) -> Tensor:
        """Return (n, B, N) exact samples; torch.manual_seed makes them the same."""
        return torch.stack([self._labels(path) for path in self.segmentations.sample(n)])

    @property
    def count(self) -> Tensor:
        """Return (B,) how many label sequences are possible; float64, as `SemiMarkov.count`."""
        return self.segmentations.count

    def _labels(self, path: Segments) -> Tensor:
        """Return the labels (B, N) of segments of one position."""
        labels = path.label.new_full((len(self.lengths), self.log_potentials.shape[1] + 1), targets.UNKNOWN)
        labels[path.item, path.start] = path.label
        return labels
