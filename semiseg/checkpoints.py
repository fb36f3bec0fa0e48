"""Layers that say in one line which tensors of a checkpoint are not theirs."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from .errors import SemisegError, show_names


class Checkpointed(nn.Module):
    """A module whose checkpoints are checked: shapes inside of other modules too, names where it is loaded itself."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a checkpoint as torch does; without `strict` tensors may be missing, and others may be there."""
        found = super().load_state_dict(state_dict, strict=False, assign=assign)
        if strict and (found.missing_keys or found.unexpected_keys):
            own = self.state_dict()
            parts = {
                "missing": [_described(name, own.get(name)) for name in found.missing_keys],
                "unknown": [_described(name, state_dict.get(name)) for name in found.unexpected_keys],
            }
            wrong = (f"{what} {show_names(names)}" for what, names in parts.items() if names)
            raise SemisegError(f"checkpoint: {'; '.join(wrong)}")
        return found

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *given: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *given)  # first: it may be one of another layer
        for name, x in self.named_parameters():
            found = state_dict.get(prefix + name, x)
            if not isinstance(found, Tensor):
                raise SemisegError(f"checkpoint: {prefix}{name}: expected a tensor, got {type(found).__name__}")
            if not is_lazy(x) and found.shape != x.shape:
                raise SemisegError(
                    f"checkpoint: {prefix}{name} has shape {tuple(found.shape)}, expected {tuple(x.shape)}"
                )


def _described(name: str, x: Any) -> str:
    """Return a tensor's name, and its shape where that says something."""
    if name.endswith("_extra_state") or not isinstance(x, Tensor):
        return name
    return f"{name} of shape {tuple(x.shape)}"
