"""Segments that nothing but their durations tell apart: what SemiCRF learns there, and a linear chain does not.

A mark stands where a segment begins, false marks stand anywhere, and noise lies over both. The three labels look the
same; segments have 9, 12 or 15 positions. A small BiLSTM sees the marks; which of them bound segments, and of which
label, only the durations say. Run it: `python example_data/duration_task.py`.
"""

import time
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from semiseg import SemiCRF
from semiseg.kernels import Segments

DURATIONS = (9, 12, 15)
POSITIONS = 90  # of a sequence, or somewhat more: its last segment is whole
FALSE_MARKS, NOISE = 0.06, 0.15
STEPS, RATE = 100, 2e-2


class Batch(NamedTuple):
    """Sequences and their segments."""

    signal: Tensor  # (B, T, 1)
    labels: Tensor  # (B, T)
    lengths: Tensor  # (B,)


def draw(seed: int, size: int = 16) -> Batch:
    """Return sequences of a seed."""
    random = torch.Generator().manual_seed(seed)
    integer = lambda below: int(torch.randint(below, (), generator=random))  # noqa: E731
    signals, labels = [], []
    for _ in range(size):
        found: list[int] = []
        starts, label = [], integer(3)
        while len(found) < POSITIONS:
            starts.append(len(found))
            found += [label] * DURATIONS[label]
            label = (label + 1 + integer(2)) % 3  # any other
        marks = torch.rand(len(found), generator=random) < FALSE_MARKS
        marks[starts] = True
        signals.append(marks + NOISE * torch.randn(len(found), generator=random))
        labels.append(torch.tensor(found))
    lengths = torch.tensor([len(x) for x in labels])
    return Batch(pad_sequence(signals, True)[..., None], pad_sequence(labels, True), lengths)


class Segmenter(nn.Module):
    """A BiLSTM under a CRF; K = 1 makes it a linear chain."""

    def __init__(self, K: int, width: int = 8):
        super().__init__()
        self.encoder = nn.LSTM(1, width, bidirectional=True, batch_first=True)
        self.crf = SemiCRF(3, K, 2 * width, durations="free", tail=False, boundaries=True)

    def loss(self, batch: Batch) -> Tensor:
        """Return minus the log likelihood of a sequence, in the mean."""
        return self.crf.loss(self.encoder(batch.signal)[0], batch.labels, batch.lengths)

    @torch.no_grad()
    def decode(self, batch: Batch) -> Segments:
        """Return the best segments."""
        return self.crf.decode(self.encoder(batch.signal)[0], batch.lengths).segments


def train(K: int, steps: int = STEPS) -> Segmenter:
    """Return a model trained on sequences that are drawn anew at every step."""
    torch.manual_seed(0)
    model = Segmenter(K)
    optimiser = torch.optim.Adam(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, steps)
    for step in range(steps):
        optimiser.zero_grad()
        model.loss(draw(step)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    return model


def segments_of(labels: Tensor, lengths: Tensor) -> set[tuple[int, int, int, int]]:
    """Return item, start, end and label of every run of one label."""
    found = set()
    for item, length in enumerate(lengths.tolist()):
        values, counts = labels[item, :length].unique_consecutive(return_counts=True)
        ends = counts.cumsum(0)
        for label, end, count in zip(values.tolist(), ends.tolist(), counts.tolist(), strict=True):
            found.add((item, end - count, end, label))
    return found


def f1(model: Segmenter, batch: Batch) -> float:
    """Return how well segments agree, both ends and the label; neighbours of one label are one."""
    called = torch.zeros_like(batch.labels)
    for item, start, end, label in zip(*(x.tolist() for x in model.decode(batch)), strict=True):
        called[item, start:end] = label
    mine, true = segments_of(called, batch.lengths), segments_of(batch.labels, batch.lengths)
    return 2 * len(mine & true) / (len(mine) + len(true))


def compare(steps: int = STEPS) -> dict[int, float]:
    """Return the F1 of segments on new sequences by K."""
    test = draw(seed=10**6, size=64)
    return {K: f1(train(K, steps), test) for K in (max(DURATIONS) + 1, 1)}


if __name__ == "__main__":
    torch.set_num_threads(1)  # on busy cores several take a second for an LSTM this small, and one 2 ms
    begun = time.perf_counter()
    for K, score in compare().items():
        print(f"K = {K}: segment F1 {score:.3f}")
    print(f"{time.perf_counter() - begun:.0f} s")
