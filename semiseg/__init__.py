"""Exact, fast semi-Markov CRFs in PyTorch: segmentations of long sequences, with posteriors.

Names are loaded when they are first used, so that `import semiseg` and `semiseg --help` do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import SemisegError

if TYPE_CHECKING:
    from .constraints import Constraints, constrained
    from .counting import expected_segments
    from .crf import SemiCRF
    from .demo import CalledSegment, segment_example
    from .distributions import LinearChain, SemiMarkov
    from .kernels import (
        Boundary,
        InfeasibleError,
        KBest,
        Marginals,
        Potentials,
        PotentialsError,
        Segments,
        Viterbi,
        cross_entropy,
        entropy,
        k_best,
        kl,
        log_partition,
        marginals,
        sample,
        viterbi,
    )
    from .label_grammar import LabelGrammar
    from .linear_chain import CRF
    from .semirings import semiring

__version__ = "0.1.0"

__all__ = [
    "CRF",
    "Boundary",
    "CalledSegment",
    "Constraints",
    "InfeasibleError",
    "KBest",
    "LabelGrammar",
    "LinearChain",
    "Marginals",
    "Potentials",
    "PotentialsError",
    "Segments",
    "SemiCRF",
    "SemiMarkov",
    "SemisegError",
    "Viterbi",
    "constrained",
    "cross_entropy",
    "entropy",
    "expected_segments",
    "k_best",
    "kl",
    "log_partition",
    "marginals",
    "sample",
    "segment_example",
    "semiring",
    "viterbi",
]

_HOME = {
    "CRF": "linear_chain",
    "CalledSegment": "demo",
    "Constraints": "constraints",
    "LabelGrammar": "label_grammar",
    "LinearChain": "distributions",
    "SemiCRF": "crf",
    "SemiMarkov": "distributions",
    "constrained": "constraints",
    "expected_segments": "counting",
    "segment_example": "demo",
    "semiring": "semirings",
}  # kernels: all others


def __getattr__(name: str) -> Any:
    """The public name, from the module that defines it (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'semiseg' has no attribute {name!r}")
    module = import_module(f".{_HOME.get(name, 'kernels')}", __name__)
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted({*globals(), *__all__})
