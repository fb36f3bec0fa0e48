"""From the samples of one channel to the scores of a signal model, window by window, on the host."""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from .encoder import STRIDE
from .errors import SemisegError
from .kernels import Potentials
from .resampling import LOBES, positions, ratio_of, resampled
from .scaling import scale_of
from .scoring import on_host
from .segment_stream import Block
from .signal_model import SignalNet
from .signal_windows import filled
from .signals import Strip

WINDOW = 1 << 15  # positions through the encoder at once: a fourteenth more is shared with their neighbours
COARSEST, FINEST = 0.3, 80.0  # rates of recordings, in those of the model, that it can be asked about


def part_of(strip: Strip, rate: float | None, wanted: float | None) -> tuple[Strip, Fraction]:
    """Return one channel as a model of a rate sees it, scaled, and how many samples a position takes."""
    if strip.length == 0:
        raise SemisegError(f"{strip.name}: the recording is empty")
    if wanted is not None and rate is None:
        raise SemisegError(f"{strip.name}: no sampling rate is known: give --rate")
    if wanted is not None and not COARSEST <= (rate or 0) / wanted <= FINEST:
        low, high = COARSEST * wanted, FINEST * wanted
        raise SemisegError(f"{strip.name}: {rate:g} samples a second: the model knows {low:g} to {high:g}")
    ratio = Fraction(1) if wanted is None else ratio_of(rate or 1.0, wanted)

    def samples(first: int, last: int) -> NDArray:
        return strip.read(first, last)[:, 0]

    scale = scale_of(samples, strip.length, rate or 1.0)
    if not scale.spread > 0:
        raise SemisegError(f"{strip.name}: the channel is constant, or nothing in it is known: leave it out")
    length = positions(strip.length, ratio)

    def read(first: int, last: int) -> NDArray:
        margin = int((LOBES + 2) * max(1.0, float(ratio))) + 2
        low = max(0, int(first * ratio) - margin)
        high = min(strip.length, int(last * ratio) + margin)
        x, holes = filled(samples(low, high))
        x = scale.apply(x)
        out = resampled(lambda a, b: x[a - low : b - low], strip.length, ratio, first, last)
        if holes is not None:
            middle = np.minimum(((np.arange(first, last) + 0.5) * float(ratio)).astype(np.int64), strip.length - 1)
            out = np.where(holes[middle - low], np.float32(np.nan), out)
        return out[:, None]

    return Strip(strip.name, length, read, strip.length, strip.channels, wanted), ratio


@torch.no_grad()
def template(net: SignalNet) -> Potentials:
    """Return the potentials of one position: laws and grammar, as a stream wants them."""
    device = net.change.device
    outputs = len(net.allowed) + 2 * len(net.config.names)
    nothing, known = torch.zeros(1, outputs, 1, device=device), torch.zeros(1, 1, dtype=torch.bool, device=device)
    return on_host(net.potentials(nothing, known))


@torch.no_grad()
def blocks(net: SignalNet, part: Strip, window: int = WINDOW) -> Iterator[Block]:
    """Yield the scores of a channel's positions, from left to right.

    What surrounds a window goes through the encoder with it, as far as it can be seen from there.
    """
    reach, device = net.encoder.reach, net.change.device
    for at in range(0, part.length, window):
        end = min(at + window, part.length)
        first = max(0, at - 1)  # an end is seen at the position before it
        low, high = max(0, at - reach - STRIDE) // STRIDE * STRIDE, min(part.length, end + reach)
        values = torch.from_numpy(part.read(low, high)[:, 0])[None].to(device)
        seen = net.features(values)[..., first - low : end - low]
        emissions, boundaries = net.scores(seen, values[:, first - low : end - low].isnan())
        rows = slice(at - first, end - first + (end == part.length))
        yield Block(emissions[0, at - first :].cpu(), tuple(b.scores[0, rows].cpu() for b in boundaries))
