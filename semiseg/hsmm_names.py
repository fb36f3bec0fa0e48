"""The order, names and colours of states that nobody has named yet."""

import colorsys

import torch

from .hsmm import Hsmm
from .survey import Survey

QUIET = "225,225,225"  # the last state where there are several channels: that with the least signal


def in_order(hsmm: Hsmm, survey: Survey) -> Hsmm:
    """Return a model whose states go from the most signal to the least: the mean over channels, in their units."""
    profile = hsmm.family.profile(hsmm.emissions)
    scale = torch.from_numpy(survey.variance).sqrt()
    signal = ((profile - torch.from_numpy(survey.mean)) / scale).mean(1)
    return hsmm.reordered(signal.argsort(descending=True, stable=True))


def names(states: int) -> list[str]:
    """Return E1, E2 and so on."""
    return [f"E{i + 1}" for i in range(states)]


def colours(states: int, channels: int) -> list[str]:
    """Return colours "r,g,b" round the circle, from red on."""
    grey = channels > 1 and states > 1
    wheel = states - grey
    out = []
    for i in range(wheel):
        rgb = colorsys.hls_to_rgb(i / max(1, wheel) * 0.85, 0.45 + 0.1 * (i % 2), 0.75)
        out.append(",".join(str(round(255 * x)) for x in rgb))
    return [*out, QUIET] if grey else out
