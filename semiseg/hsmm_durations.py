"""Durations of states in EM: laws, and the best ones for expected counts of lengths.

Every stretch of data begins in the middle of a segment, as likely to be long as it is long: a label's share of such
beginnings over its mean duration is what starts there. So the expected log likelihood of a law is

    sum_k counts[k] log d(k) + steps tail - cut log(mean duration)

with `cut` the expected number of stretches that begin under the label. Free and geometric laws have their best in
closed form (free ones: of a bound that touches it, since -log is convex); the others climb by Newton's steps, none of
which goes down.
"""

import numpy as np
import torch
from torch import Tensor, nn

from .durations import FLATTEST, Free, Geometric, Law, Spline, Table, family, tabulate
from .errors import SemisegError

LEAST = 1e-9  # share of a length, at least: what was not seen is unlikely, not impossible
HALVINGS = 60
CLIMB = 20  # steps, at most: with fewer, a flat valley is walked for hundreds of M steps
TINY = 2e-8  # gain of a law, a segment of all, that is not worth a step: rounding, or a valley without end
SHORTER = 12  # tries of a shorter step
FLAT = 1e-9  # of the strongest curvature: what is weaker is rounding


def make(name: str, states: int, longest: int) -> Law:
    """Return laws of a family for so many states."""
    if longest < 2:
        raise SemisegError(f"--longest: expected at least 2 explicit durations, got {longest}")
    return family(name, 2 if name == "geometric" else longest, labels=states)


def means(table: Table) -> Tensor:
    """Return (C,) mean durations, tails included."""
    d, tail, K = table.durations, table.tail, table.longest
    k = torch.arange(len(d), dtype=d.dtype, device=d.device)[:, None]
    explicit = (d.exp() * k)[1:].sum(0)
    last = d.gather(0, K[None].to(d.device))[0].exp()
    stay, leave = tail.exp(), -torch.expm1(tail)
    return explicit + last * stay / leave * (K.to(d) + 1 / leave)


def likelihood(table: Table, counts: Tensor, steps: Tensor, cut: Tensor) -> Tensor:
    """Return (C,) expected log likelihoods of laws (see above); `counts` (K + 1, C), `steps` and `cut` (C,)."""
    explicit = torch.where(counts > 0, counts * table.durations, 0).sum(0)
    return explicit + steps * table.tail - cut * means(table).log()


def improve(law: Law, counts: Tensor, steps: Tensor, cut: Tensor) -> None:
    """Move laws to where the expected log likelihood is no less, and mostly larger."""
    if isinstance(law, Geometric):
        geometric(law, counts, steps, cut)
    elif isinstance(law, Free):
        free(law, counts, steps, cut)
    else:
        climb(law, counts, steps, cut)


@torch.no_grad()
def geometric(law: Geometric, counts: Tensor, steps: Tensor, cut: Tensor) -> None:
    """Set geometric laws to their best: `stay` positions in which a segment goes on, `leave` in which it does not."""
    lengths, going = counts[1:].numpy(), law.stay.detach().numpy()
    leave = lengths.sum(0) + cut.numpy()
    stay = np.arange(len(lengths)) @ lengths + steps.numpy()
    some = leave > 0
    with np.errstate(over="ignore"):  # of a law that is all but never left
        found = np.log(np.maximum(stay / np.where(some, leave, 1), LEAST))
    law.stay.copy_(torch.from_numpy(np.where(some, found, going)))


@torch.no_grad()
def free(law: Free, counts: Tensor, steps: Tensor, cut: Tensor) -> None:
    """Set free laws to the best of the bound -log(mean) >= -log(mean before) - (mean - mean before) / mean before."""
    before = tabulate([law])
    price = cut / means(before)  # of one position of the mean
    stay = before.tail.exp()
    lengths = law.lengths.double().repeat(1, counts.shape[1])
    lengths[-1] += stay / (1 - stay)
    mass = shares_at_price(counts[1:].T, LEAST, (price * lengths).T).T  # the last of all lengths from K on
    # the tail, given its mass: how many steps r beyond K a segment goes on average
    a, n = price * mass[-1], counts[-1]
    rest = a + n
    root = (-rest + (rest**2 + 4 * a * steps).sqrt()) / (2 * a).clamp(min=1e-300)
    r = torch.where(a > 1e-12 * n.clamp(min=1e-300), root, steps / n.clamp(min=1e-300))
    some = (n > 0) & (steps > 0)
    tail = torch.where(some, (r / (1 + r)).log(), before.tail).clamp(max=10 * FLATTEST)
    heights = mass.log()
    heights[-1] += torch.log(-torch.expm1(tail))
    seen = counts[1:].sum(0) > 0
    assert law.decay is not None
    law.heights.copy_(torch.where(seen, heights, law.heights))
    law.decay.copy_(torch.where(seen, torch.log(torch.expm1(-tail)), law.decay))


def climb(law: Law, counts: Tensor, steps: Tensor, cut: Tensor) -> None:
    """Follow the curvature of all laws together, each as far as it goes up: their parameters are their own."""
    parameters = list(law.parameters())
    enough = TINY * float(counts.sum().clamp(min=1.0))

    def value() -> Tensor:
        return likelihood(tabulate([law]), counts, steps, cut)

    def set_to(x: Tensor) -> None:
        for parameter, part in zip(parameters, x.split([p.numel() // len(steps) for p in parameters]), strict=True):
            parameter.data.copy_(part.reshape(parameter.shape))

    for _ in range(CLIMB):
        before = torch.cat([p.detach().reshape(-1, len(steps)) for p in parameters])  # (P, C)
        with torch.enable_grad():
            now = value()
            slope = derivatives(now, parameters)
            curvature = torch.stack([derivatives(row, parameters) for row in slope]).detach()  # (P, P, C)
        best, slope = now.detach(), slope.detach()
        if not bool(curvature.isfinite().all()):
            break
        direction = uphill(slope, curvature)
        is_worth_it = (slope * direction).sum(0) > enough
        if not bool(is_worth_it.any()):
            break
        direction = torch.where(is_worth_it, direction, 0)
        length = torch.ones_like(steps)  # of each law's step
        with torch.no_grad():
            for _ in range(SHORTER):
                set_to(before + length * direction)
                down = ~(value() >= best)  # also where it has become NaN
                if not bool(down.any()):
                    break
                length = torch.where(down, length / 4, length)
            else:
                set_to(before + torch.where(down, 0, length * direction))


def derivatives(values: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """Return (P, C) derivatives of values (C,), each by the parameters of its own law."""
    found = torch.autograd.grad(values.sum(), parameters, create_graph=True, materialize_grads=True)
    return torch.cat([x.reshape(-1, len(values)) for x in found])


def uphill(slope: Tensor, curvature: Tensor) -> Tensor:
    """Return (P, C) Newton's steps, turned where they would go down: along an axis that curves upwards."""
    bend, axes = torch.linalg.eigh(curvature.permute(2, 0, 1))
    bend = torch.maximum(bend.abs(), FLAT * bend.abs().amax(1, keepdim=True)).clamp(min=1e-300)
    return (axes @ ((axes.mT @ slope.T[..., None]) / bend[..., None]))[..., 0].T


def shares(counts: Tensor, least: float) -> Tensor:
    """Return p (R, n) with the largest `sum counts log p` in each row, sums of 1, and none below `least`.

    What is below its share of the sum gets `least`, and the others the rest; that may put more of them below theirs.
    """
    x = counts.numpy()  # small, and what torch adds to each step is more than it takes
    few = x < 0
    while True:
        rest = np.where(few, 0, x).sum(-1, keepdims=True) / (1 - least * few.sum(-1, keepdims=True))
        fewer = few | (x <= least * rest)
        if np.array_equal(few, fewer):
            break
        few = fewer
    with np.errstate(divide="ignore", invalid="ignore"):  # of a row without counts: all are few
        p = np.where(few, least, x / rest)
    return torch.from_numpy(p / p.sum(-1, keepdims=True))  # where nothing was counted, all alike


def shares_at_price(counts: Tensor, least: float, price: Tensor) -> Tensor:
    """Return p (R, n) with the largest `sum counts log p - price p` in each row, as `shares` does.

    p = max(least, counts / (x + price)) with the x, found by halving, at which it sums to 1.
    """
    total = counts.sum(-1, keepdim=True)
    # below: one of the terms alone is 1; above: all are smaller than their share
    low = (torch.where(counts > 0, counts, -torch.inf) - price).amax(-1, keepdim=True).clamp(min=-1e300)
    high = torch.maximum(total / (1 - least * counts.shape[-1]), low) + 1e-300
    for _ in range(HALVINGS):
        x = (low + high) / 2
        p = torch.where(counts > 0, counts / (x + price).clamp(min=1e-300), 0).clamp(min=least)
        more = p.sum(-1, keepdim=True) > 1
        low, high = torch.where(more, x, low), torch.where(more, high, x)
    p = torch.where(counts > 0, counts / (high + price).clamp(min=1e-300), 0).clamp(min=least)
    return p / p.sum(-1, keepdim=True)


def free_numbers(law: Law, states: int) -> int:
    """Return how many free parameters laws have; heights of free ones and splines are given up to a constant."""
    redundant = states if isinstance(law, Free | Spline) else 0
    return sum(x.numel() for x in law.parameters()) - redundant
