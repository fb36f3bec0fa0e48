"""Every check of what users pass in, once, at the door: one line that says what was expected and what came."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from .errors import PotentialsError
from .potentials import Boundary, Potentials
from .results import Segments

FORBIDDING = 7  # boundary maps that may hold -inf: as many as sums of fixed.NEVER have room for
NORMALISED = 1e-3  # a duration law off by more than this is no rounding of the user's dtype (bf16 excepted)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise PotentialsError(message)


def _shape(name: str, x: Tensor, *allowed: tuple[int, ...]) -> None:
    if tuple(x.shape) not in allowed:
        wanted = " or ".join(str(tuple(a)) for a in allowed)
        raise PotentialsError(f"{name}: expected shape {wanted}, got {tuple(x.shape)}")


def _tensors(p: Potentials) -> dict[str, Tensor]:
    named = {name: getattr(p, name) for name in ("emissions", "durations", "transitions", "tail", "first", "last")}
    for m, boundary in enumerate(p.boundaries):
        named[f"boundaries[{m}].scores"] = boundary.scores
    return {name: x for name, x in named.items() if x is not None or name in ("emissions", "durations", "transitions")}


def check(p: Potentials) -> None:
    """Raise unless the record can be used as it is; what needs complete laws is in `check_censoring`."""
    check_types(p)
    check_shapes(p)
    check_values(p)


def check_types(p: Potentials) -> None:
    """Raise unless every field is of its kind, every score a floating tensor, all on one device."""
    inside = " (it is in its .potentials)" if hasattr(p, "potentials") else ""
    _require(isinstance(p, Potentials), f"potentials: expected Potentials, got {type(p).__name__}{inside}")
    _require(isinstance(p.boundaries, tuple | list), f"boundaries: expected a tuple, got {type(p.boundaries).__name__}")
    for m, boundary in enumerate(p.boundaries):
        _require(isinstance(boundary, Boundary), f"boundaries[{m}]: expected Boundary, got {type(boundary).__name__}")
    for name, x in _tensors(p).items():
        fits = isinstance(x, Tensor) and x.is_floating_point() and x.layout == torch.strided
        if not fits or x.device != p.emissions.device:  # messages take longer than looking
            _check_tensor(name, x, p.emissions)
    device = p.emissions.device.type
    _require(device in ("cpu", "cuda"), f"emissions: expected a tensor on cpu or cuda, got device {device}")
    whole = {name: getattr(p, name) for name in ("longest", "period", "lengths") if getattr(p, name) is not None}
    whole |= {f"boundaries[{m}].types": boundary.types for m, boundary in enumerate(p.boundaries)}
    for name, x in whole.items():
        check_integers(name, x)
        _require(
            x.device.type in ("cpu", device),
            f"{name}: expected device {' or '.join(sorted({'cpu', device}))}, got {x.device}",
        )
    for edge in ("left", "right"):
        _require(
            getattr(p, edge) in ("exact", "censored"),
            f"{edge}: expected 'exact' or 'censored', got {getattr(p, edge)!r}",
        )
    _require(
        isinstance(p.transitions_by_duration, bool),
        f"transitions_by_duration: expected True or False, got {p.transitions_by_duration!r}",
    )
    check_integer("origin", p.origin, -(2**61), 2**61)


def _check_tensor(name: str, x: Any, emissions: Tensor) -> None:
    """Raise at what keeps a tensor from being used."""
    _require(isinstance(x, Tensor), f"{name}: expected a torch tensor, got {type(x).__name__}")
    _require(x.is_floating_point(), f"{name}: expected a floating dtype, got {x.dtype}")
    _require(x.layout == torch.strided, f"{name}: expected a dense tensor, got {x.layout}")
    wanted = f"{name}: expected device {emissions.device} as for emissions, got {x.device}"
    _require(x.device == emissions.device, wanted)


def check_integers(name: str, x: Any) -> None:
    """Raise unless `x` is a tensor of integers."""
    _require(
        isinstance(x, Tensor) and not x.is_floating_point() and not x.is_complex() and x.dtype != torch.bool,
        f"{name}: expected an integer tensor, got {getattr(x, 'dtype', type(x).__name__)}",
    )


def check_integer(name: str, x: Any, low: int, high: int | None = None) -> None:
    """Raise unless `x` is an integer from `low` to `high`."""
    wanted = f"an integer >= {low}" if high is None else f"an integer in {low}..{high}"
    fits = isinstance(x, Integral) and not isinstance(x, bool) and low <= int(x) and (high is None or int(x) <= high)
    _require(fits, f"{name}: expected {wanted}, got {x!r}")


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
            f"{name}.scores: expected shape ({', '.join(map(str, (*batch, T + 1)))}, n), got {tuple(scores.shape)}",
        )
        _shape(f"{name}.types", types, (C, C))
        low, high = int(types.min()), int(types.max())
        _require(
            -1 <= low and high < scores.shape[-1],
            f"{name}.types: expected -1..{scores.shape[-1] - 1}, got {low}..{high}",
        )
    if len(p.boundaries) > FORBIDDING:
        found = sum(bool((boundary.scores == -torch.inf).any()) for boundary in p.boundaries)
        _require(found <= FORBIDDING, f"boundaries: expected at most {FORBIDDING} maps with -inf, got {found}")
    if p.longest is not None:
        low, high = int(p.longest.min()), int(p.longest.max())
        _require(1 <= low and high <= K, f"longest: expected 1..{K}, got {low}..{high}")
    if p.period is not None:
        _require(int(p.period.min()) >= 1, f"period: expected values >= 1, got {int(p.period.min())}")
    if p.lengths is not None:
        _shape("lengths", p.lengths, batch or (1,))
        for item, length in enumerate(p.lengths.tolist()):
            _require(1 <= length <= T, f"lengths: expected 1..{T}, got {length} for item {item}")


def check_values(p: Potentials) -> None:
    """Raise at the first NaN or +inf that the model can see, naming tensor, batch item and position."""
    named = {name: x.detach() for name, x in _tensors(p).items()}
    # one reduction finds both, since NaN propagates through max; and one wait for the device
    tops = torch.stack([x.amax() for x in named.values()]).tolist()
    for (name, x), top in zip(named.items(), tops, strict=True):
        if top < torch.inf:
            continue
        bad = torch.isnan(x) | (x == torch.inf)
        along = name == "emissions" or name.startswith("boundaries")
        if name == "durations" or (name == "transitions" and p.transitions_by_duration):
            bad[0] = False  # no segment lasts 0 positions
        if along:
            x, bad = (a if a.ndim == 3 else a[None] for a in (x, bad))
        if along and p.lengths is not None:
            limit = p.lengths.to(x.device) + (0 if name == "emissions" else 1)
            bad &= torch.arange(x.shape[1], device=x.device)[None, :, None] < limit[:, None, None]
        if not bool(bad.any()):
            continue
        index = tuple(int(i) for i in bad.nonzero()[0])
        where = "item {}, position {}, column {}".format(*index) if along else f"index {index}"
        raise PotentialsError(f"{name}: expected finite values or -inf, got {float(x[index])} at {where}")


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


def check_want(want: Any, known: tuple[str, ...]) -> set[str]:
    """Return the names asked for; raise at one that is not known."""
    _require(
        isinstance(want, Iterable) and not isinstance(want, str),
        f"want: expected a collection such as ('position',), got {want!r}",
    )
    unknown = sorted(repr(name) for name in want if name not in known)
    _require(not unknown, f"want: expected any of {', '.join(known)}, got {', '.join(unknown)}")
    return set(want)


def check_level(level: Any) -> None:
    """Raise unless `level` is a share of a distribution."""
    _require(isinstance(level, int | float) and 0 < level < 1, f"level: expected a number in (0, 1), got {level!r}")


def check_concepts(concepts: Any, labels: int) -> None:
    """Raise unless there is one concept a label."""
    if concepts is not None:
        check_integers("concepts", concepts)
        _shape("concepts", concepts, (labels,))


def check_segments(segments: Any, lengths: Tensor, labels: int) -> None:
    """Raise at the first segment that lies outside its sequence or has no such label."""
    _require(isinstance(segments, Segments), f"segments: expected Segments, got {type(segments).__name__}")
    for name, x in zip(Segments._fields, segments, strict=True):
        check_integers(f"segments.{name}", x)
        _require(x.ndim == 1, f"segments.{name}: expected one axis, got shape {tuple(x.shape)}")
        _shape(f"segments.{name}", x, tuple(segments.item.shape))
    item, start, end, label = (x.cpu() for x in segments)
    known = (item >= 0) & (item < len(lengths))
    fits = known & (0 <= start) & (start < end) & (end <= lengths[torch.where(known, item, 0)])
    bad = ~(fits & (label >= 0) & (label < labels))
    if bool(bad.any()):
        i = int(bad.int().argmax())
        raise PotentialsError(
            f"segments: expected 0 <= start < end <= length, an item below {len(lengths)} and a label below {labels}, "
            f"got row {i}: item {item[i]}, start {start[i]}, end {end[i]}, label {label[i]}"
        )
