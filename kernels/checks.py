"""Every check of what users pass in, once, at the door: one line that says what was expected and what came."""

import torch
from torch import Tensor

from .errors import PotentialsError
from .potentials import Potentials

NORMALISED = 1e-3  # a duration law off by more than this is no rounding of the user's dtype (bf16 excepted)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise PotentialsError(message)


def _shape(name: str, x: Tensor, *allowed: tuple[int, ...]) -> None:
    if tuple(x.shape) not in allowed:
        wanted = " or ".join(str(tuple(a)) for a in allowed)
        raise PotentialsError(f"{name}: expected shape {wanted}, got {tuple(x.shape)}")


def _tensors(p: Potentials):
    named = {name: getattr(p, name) for name in ("emissions", "durations", "transitions", "tail", "first", "last")}
    for m, boundary in enumerate(p.boundaries):
        named[f"boundaries[{m}].scores"] = boundary.scores
    return {name: x for name, x in named.items() if x is not None}


def check_types(p: Potentials) -> None:
    """Raise unless every score is a floating tensor and all tensors share one device."""
    tensors = _tensors(p)
    for name, x in tensors.items():
        _require(isinstance(x, Tensor), f"{name}: expected a torch tensor, got {type(x).__name__}")
        _require(x.is_floating_point(), f"{name}: expected a floating dtype, got {x.dtype}")
        _require(
            x.device == p.emissions.device,
            f"{name}: expected device {p.emissions.device} as for emissions, got {x.device}",
        )
    for name in ("longest", "period", "lengths"):
        x = getattr(p, name)
        if x is not None:
            _require(
                isinstance(x, Tensor) and not x.is_floating_point() and not x.is_complex() and x.dtype != torch.bool,
                f"{name}: expected an integer tensor, got {getattr(x, 'dtype', type(x).__name__)}",
            )
    for edge in ("left", "right"):
        _require(
            getattr(p, edge) in ("exact", "censored"),
            f"{edge}: expected 'exact' or 'censored', got {getattr(p, edge)!r}",
        )


def check_shapes(p: Potentials) -> None:
    """Raise unless all shapes agree with (B, T, C) of the emissions and K of the durations."""
    _require(
        p.emissions.ndim in (2, 3), f"emissions: expected shape (B, T, C) or (T, C), got {tuple(p.emissions.shape)}"
    )
    batch = tuple(p.emissions.shape[:-2])
    T, C = p.emissions.shape[-2:]
    _require(T > 0 and C > 0 and 0 not in batch, f"emissions: expected no empty axis, got {tuple(p.emissions.shape)}")
    _require(
        p.durations.ndim == 2 and p.durations.shape[0] >= 2 and p.durations.shape[1] == C,
        f"durations: expected shape (K + 1, {C}) with K >= 1, got {tuple(p.durations.shape)}",
    )
    K = p.durations.shape[0] - 1
    if p.transitions_by_duration:
        _shape("transitions", p.transitions, (K + 1, C, C))
    else:
        _require(
            p.transitions.ndim in (2, 3) and tuple(p.transitions.shape[-2:]) == (C, C) and p.transitions.shape[0] > 0,
            f"transitions: expected shape (P, {C}, {C}) or ({C}, {C}), got {tuple(p.transitions.shape)}",
        )
    P = 1 if p.transitions_by_duration or p.transitions.ndim == 2 else p.transitions.shape[0]
    for name in ("longest", "tail", "period", "last"):
        if getattr(p, name) is not None:
            _shape(name, getattr(p, name), (C,))
    if p.first is not None:
        _shape("first", p.first, (C,), (P, C))
    for m, boundary in enumerate(p.boundaries):
        scores, types = boundary
        name = f"boundaries[{m}]"
        _require(
            scores.ndim == len(batch) + 2 and tuple(scores.shape[:-1]) == (*batch, T + 1) and scores.shape[-1] > 0,
            f"{name}.scores: expected shape {(*batch, T + 1, 'n')}, got {tuple(scores.shape)}",
        )
        _shape(f"{name}.types", types, (C, C))
        low, high = int(types.min()), int(types.max())
        _require(
            -1 <= low and high < scores.shape[-1],
            f"{name}.types: expected -1..{scores.shape[-1] - 1}, got {low}..{high}",
        )
    if p.longest is not None:
        low, high = int(p.longest.min()), int(p.longest.max())
        _require(1 <= low and high <= K, f"longest: expected 1..{K}, got {low}..{high}")
    if p.period is not None:
        _require(int(p.period.min()) >= 1, f"period: expected values >= 1, got {int(p.period.min())}")
    if p.lengths is not None:
        _shape("lengths", p.lengths, batch or (1,))
        low, high = int(p.lengths.min()), int(p.lengths.max())
        _require(1 <= low and high <= T, f"lengths: expected 1..{T}, got {low}..{high}")


def check_values(p: Potentials) -> None:
    """Raise at the first NaN or +inf that the model can see, naming tensor, batch item and position."""
    for name, x in _tensors(p).items():
        # one reduction finds both: NaN propagates through max
        if x.numel() == 0 or bool(x.amax() < torch.inf):
            continue
        bad = torch.isnan(x) | (x == torch.inf)
        if name == "durations":
            bad[0] = False
        if p.lengths is not None and x.ndim == 3 and (name == "emissions" or name.startswith("boundaries")):
            limit = p.lengths + (0 if name == "emissions" else 1)
            bad &= torch.arange(x.shape[1], device=x.device)[None, :, None] < limit[:, None, None].to(x.device)
        if not bool(bad.any()):
            continue
        index = [int(i) for i in bad.nonzero()[0]]
        value = float(x[tuple(index)])
        if name == "emissions" or name.startswith("boundaries"):
            item = index[0] if x.ndim == 3 else 0
            where = f"item {item}, position {index[-2]}, column {index[-1]}"
        else:
            where = f"index {tuple(index)}"
        raise PotentialsError(f"{name}: expected finite values or -inf, got {value} at {where}")


def check_censoring(durations: Tensor, longest: Tensor, tail: Tensor, period: Tensor, tolerance: float) -> None:
    """Raise unless every duration law is a distribution whose tail dies out, as a censored edge needs."""
    for c in range(durations.shape[1]):
        K, p, lam = int(longest[c]), int(period[c]), float(tail[c])
        _require(lam < 0, f"tail: a censored edge needs values < 0, got {lam} for label {c}")
        mass = torch.exp(durations[1 : K + 1, c].double())
        total = float(mass.sum())
        if lam > -torch.inf:
            step = float(torch.exp(tail[c].double()))
            total += float(mass[max(0, K - p) :].sum()) * step / (1 - step)
        _require(
            abs(total - 1) <= tolerance,
            f"durations: a censored edge needs sum_k exp D[k] = 1, got {total:.6g} for label {c}",
        )
