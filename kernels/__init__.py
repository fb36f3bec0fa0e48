"""Exact inference in semi-Markov CRFs: streaming, parallel in time, differentiable.

The whole public surface; see `Potentials` for the model and `results` for what comes back. Nothing heavy is imported
before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .autograd import log_partition
    from .cpu.directions import State
    from .cpu.stream import ViterbiStream
    from .errors import InfeasibleError, PotentialsError
    from .information import cross_entropy, entropy, kl
    from .operations import k_best, marginals, sample, viterbi
    from .potentials import Boundary, Potentials
    from .results import Calls, KBest, Marginals, Report, Segments, Viterbi
    from .stream import Stream, backward, forward, posteriors
    from .views import Views

_HOME = {
    "InfeasibleError": "errors",
    "PotentialsError": "errors",
    "cross_entropy": "information",
    "entropy": "information",
    "kl": "information",
    "k_best": "operations",
    "log_partition": "autograd",
    "marginals": "operations",
    "sample": "operations",
    "viterbi": "operations",
    "ViterbiStream": "cpu.stream",
    "State": "cpu.directions",
    "Stream": "stream",
    "backward": "stream",
    "forward": "stream",
    "posteriors": "stream",
    "Views": "views",
    "Boundary": "potentials",
    "Potentials": "potentials",
    "Calls": "results",
    "KBest": "results",
    "Marginals": "results",
    "Report": "results",
    "Segments": "results",
    "Viterbi": "results",
}

__all__ = [
    "Boundary",
    "Calls",
    "InfeasibleError",
    "KBest",
    "Marginals",
    "Potentials",
    "PotentialsError",
    "Report",
    "Segments",
    "State",
    "Stream",
    "Views",
    "Viterbi",
    "ViterbiStream",
    "backward",
    "cross_entropy",
    "entropy",
    "forward",
    "k_best",
    "kl",
    "log_partition",
    "marginals",
    "posteriors",
    "sample",
    "viterbi",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
