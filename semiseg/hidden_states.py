"""What an encoder hands over, checked: states of a batch of sequences, and how long these are."""

import torch
from torch import Tensor

from .errors import SemisegError


def checked(hidden: Tensor, lengths: Tensor | None, width: int, name: str = "hidden") -> Tensor:
    """Return (B,) lengths; raise where they or the shape of the states (B, T, width) cannot be used."""
    if not isinstance(hidden, Tensor):
        raise SemisegError(f"{name}: expected a tensor (B, T, {width}), got {type(hidden).__name__}")
    if hidden.ndim != 3 or hidden.shape[-1] != width or 0 in hidden.shape:
        raise SemisegError(f"{name}: expected states (B, T, {width}), got {tuple(hidden.shape)}")
    if not hidden.is_floating_point():
        raise SemisegError(f"{name}: expected a floating dtype, got {hidden.dtype}")
    B, T, _ = hidden.shape
    try:
        lengths = torch.full((B,), T) if lengths is None else torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError):
        raise SemisegError(f"lengths: expected {B} integers, one an item, got {lengths!r}") from None
    if tuple(lengths.shape) != (B,) or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise SemisegError(f"lengths: expected {B} integers, one an item, got {tuple(lengths.shape)} {lengths.dtype}")
    bad = (lengths < 1) | (lengths > T)
    if bool(bad.any()):
        item = int(bad.int().argmax())
        raise SemisegError(f"lengths: expected 1..{T}, got {int(lengths[item])} for item {item}")
    return lengths


def check_finite(hidden: Tensor, lengths: Tensor, forbidding: bool, name: str = "hidden") -> None:
    """Raise at the first state that is no number; `forbidding`: states are scores, and may be -inf."""
    low, high = torch.stack(hidden.aminmax()).tolist()  # NaN where there is any
    if high < torch.inf and (forbidding or low > -torch.inf):
        return
    bad = ~hidden.isfinite()
    if forbidding:
        bad &= hidden != -torch.inf
    bad &= inside(hidden, lengths)[..., None]
    if bool(bad.any()):
        item, position, column = (int(i) for i in bad.nonzero()[0])
        value = float(hidden[item, position, column])
        wanted = "finite scores or -inf" if forbidding else "finite states"
        raise SemisegError(f"{name}: expected {wanted}, got {value} at item {item}, position {position}")


def inside(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Return (B, T) whether a position lies in its sequence."""
    return torch.arange(hidden.shape[1], device=hidden.device) < lengths.to(hidden.device)[:, None]
