"""What the GPU's passes would leave behind, made from the CPU's: with that, kernels are tested one by one."""

from typing import NamedTuple

import numpy as np
import plans
import torch
from where import DEVICE

from semiseg.kernels.cpu.marginals import Smoother
from semiseg.kernels.cpu.posteriors import Wanted
from semiseg.kernels.gpu.pieces import Table, table_of
from semiseg.kernels.gpu.tiles import LOG2E, NEVER
from semiseg.kernels.plan import Plan
from semiseg.kernels.resolve import Layout, Leaves, sequence


class Scores(NamedTuple):
    """What the passes leave behind of a batch, on the device, and what the CPU path makes of it."""

    h: torch.Tensor  # (rows, C)
    alpha: torch.Tensor
    f: torch.Tensor
    beta: torch.Tensor
    chunks: Table
    Z: torch.Tensor  # (n,)
    constants: torch.Tensor  # (n,) what puts forward scores of an item on one scale
    shares: torch.Tensor  # (n, C)
    alpha_at_a: torch.Tensor  # (n, C)
    open_left: torch.Tensor  # (n, A, C)
    open_right: torch.Tensor  # (n, A, C)
    closing: torch.Tensor  # (n, C)
    emissions: torch.Tensor  # (B, T, C)
    scores: torch.Tensor  # (B, T + 1, n)
    start: np.ndarray  # (B, T + 1, C) and so on: the answers
    end: np.ndarray
    position: np.ndarray
    kinds: np.ndarray
    transitions: np.ndarray
    counts: np.ndarray
    steps: np.ndarray


def scores_of(leaves: Leaves, layout: Layout, cut: int) -> Scores:
    """The scores of panels of `cut` positions; memory that nothing fills is NaN."""
    B, T, C = leaves.emissions.shape
    period = np.where(leaves.tail.numpy() > -np.inf, layout.period, 0)
    K = int(layout.longest.max())
    A = K + int(period.max())
    rows = {name: np.full((B, T + 1, C), np.nan) for name in ("h", "alpha", "f", "beta", "start", "end")}
    rows["position"] = np.full((B, T, C), np.nan)
    rows["kinds"] = np.zeros((B, T + 1, leaves.scores.shape[2]))
    names = "chunks", "Z", "constants", "shares", "alpha_at_a", "open_left", "open_right", "closing"
    each = {name: [] for name in names}
    sums, rng = [], np.random.default_rng(cut)
    for item, length in enumerate(layout.lengths.tolist()):
        smoother = Smoother(sequence(leaves, layout, item), Plan(1, 0, cut, 1, True, 0), plans.POOL)
        counts = [0.0, 0.0, 0.0]
        for _, u, v in smoother.chunks.panels():
            panel = smoother.panel(0, u, v)
            part = smoother.part(panel, Wanted(True, True))
            x, y = rng.normal(0, 100, 2) * (u > 0, v < length)  # every chunk has constants of its own
            rows["h"][item, u:v], rows["f"][item, u:v] = panel.h + x, panel.f + y
            rows["alpha"][item, u + 1 : v + 1] = panel.alpha[1:] + x
            rows["beta"][item, u + 1 : v + 1] = panel.beta + y
            rows["start"][item, u:v], rows["end"][item, u + 1 : v + 1] = part.start, part.end
            rows["position"][item, u:v], rows["kinds"][item, u:v] = part.position, part.kinds
            counts = [x + y for x, y in zip(counts, part.counts, strict=True)]
            each["chunks"].append((item, u, v, item * (T + 1) + u))
            each["Z"].append(panel.partition + x + y)
            each["constants"].append(-x)
            each["shares"].append(part.shares)
            each["alpha_at_a"].append(panel.alpha[0] + (x if u else np.nan))  # nothing ends at 0
            each["open_left"].append(by_age(panel.before, layout.longest, period, A) + x)
            each["open_right"].append(by_age(panel.behind, layout.longest, period, A) + y)
            each["closing"].append(part.closing)
        sums.append(counts)
        assert v == length
    log2 = {"h", "alpha", "f", "beta", "Z", "constants", "alpha_at_a", "open_left", "open_right"}
    table = {
        name: np.where(np.isneginf(x), NEVER, np.array(x) * LOG2E) if name in log2 else np.array(x)
        for name, x in (rows | each).items()
    }
    given = {name: torch.from_numpy(table[name]).to(DEVICE) for name in Scores._fields if name in table}
    for name in ("h", "alpha", "f", "beta"):
        given[name] = given[name].reshape(-1, C)
    given["chunks"] = table_of(table["chunks"], DEVICE)
    return Scores(
        **(given | {name: table[name] for name in ("start", "end", "position", "kinds")}),
        emissions=leaves.emissions.to(DEVICE),
        scores=leaves.scores.to(DEVICE),
        transitions=np.array([x[0] for x in sums]),
        counts=np.array([x[1] for x in sums]),
        steps=np.array([x[2] for x in sums]),
    )


def by_age(state, longest, period, A):
    """Open scores (A, C) of a CPU state by age, folded rows behind each label's longest."""
    C = len(longest)
    out = np.full((A, C), -np.inf)
    for c in range(C):
        K, p = longest[c], period[c]
        out[:K, c] = state.ring[c, ::-1][:K] + state.offset
        out[K : K + p, c] = state.folded[c, :p][::-1] + state.offset
    return out
