"""A ragged batch: long items are cut into chunks, short ones share the threads among themselves, some side by side."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import fixed
from ..checks import check_integer
from ..errors import InfeasibleError, PotentialsError
from ..expansion import contract
from ..plan import SMALL, STRETCH, Plan, groups, plan
from ..resolve import SHARED, Gradients, Layout, Leaves, Sequence, sequence, sequences
from ..results import Calls, Marginals, Report, Segments
from .calls import Described, Request, describe, describe_group
from .chunks import Chunks
from .directions import Direction
from .gradients import Derivatives, combine, gradients_of, gradients_of_group
from .groups import Group, Pair, Smoothed, at_right, single, smooth, travel
from .k_best import k_best_item
from .marginals import Smoother, final_partition
from .passes import Passes
from .posteriors import Counts, Found, Wanted
from .sample import sample_item
from .threads import pool, spread
from .viterbi import Path, in_fixed_point, viterbi_item
from .viterbi_group import viterbi_group

R = TypeVar("R")


class Options(NamedTuple):
    """How to run, not what to compute."""

    threads: int | None = None
    chunks: int | None = None
    warm_up: int | None = None


def options(threads: int | None, chunks: int | None, warm_up: int | None) -> Options:
    """Return how to run, checked."""
    for name, x, low in (("threads", threads, 1), ("chunks", chunks, 1), ("warm_up", warm_up, 0)):
        if x is not None:
            check_integer(name, x, low)
    return Options(threads, chunks, warm_up)


def plan_for(x: Sequence, options: Options, single: bool, values: int = 4) -> Plan:
    """Return the plan of one item; items of a batch run side by side, so each stays whole."""
    T, C = x.emissions.shape
    threads = (options.threads or torch.get_num_threads()) if single else 1
    return plan(T, C, int(x.longest.max()), threads, options.chunks, options.warm_up, values)


def each_item(layout: Layout, options: Options, work: Callable[[int], R]) -> list[R]:
    """Return `work(item)` for every item, in order, errors naming the item."""
    items = [range(item, item + 1) for item in range(len(layout.lengths))]
    return each(items, options, lambda own: work(own.start))


def each(shares: list[range], options: Options, work: Callable[[range], R]) -> list[R]:
    """Return `work(items)` for every share of a batch, in order, errors naming the item."""
    return list(spread(pool(options.threads, "items"), lambda items: named(items, work), shares))


def named(items: range, work: Callable[[range], R]) -> R:
    """Return `work(items)`, an error naming the item by its number and not by its place."""
    try:
        return work(items)
    except InfeasibleError as error:
        raise error.of(items[error.item]) from None


def logs(leaves: Leaves, layout: Layout, item: int) -> Sequence:
    """Return one item for the log semiring, its scores small enough for float64 to tell paths apart."""
    x = sequence(leaves, layout, item)
    emissions, scores = fixed.largest_scores(x.emissions)[0], fixed.largest_scores(x.scores.reshape(1, -1))[1]
    fixed.check_magnitude(x, emissions, scores, len(x.emissions))
    return x


class Shares(NamedTuple):
    """A batch of one model, cut into groups of short neighbours and single long ones."""

    leaves: Leaves
    layout: Layout
    options: Options
    items: list[range]
    first: Sequence  # of the first share
    pair: Pair

    def is_group(self, items: range) -> bool:
        """Return whether a share goes through in one piece."""
        whole = self.options.chunks in (None, 1) and self.options.warm_up is None
        return whole and int(self.layout.lengths[items].max()) <= STRETCH

    def group(self, items: range) -> Group:
        """Return short sequences."""
        x = self.first if items == self.items[0] else sequences(self.leaves, self.layout, items)
        return Group(x, self.layout.lengths[items], self.pair)

    def logs(self, items: range) -> Group:
        """Return short sequences for the log semiring, their scores small enough to be told apart."""
        group = self.group(items)
        x = group.x
        # all items, and what lies behind them, are more than any of them
        emissions = fixed.largest_scores(x.emissions.reshape(-1, x.emissions.shape[2]))[0]
        scores = fixed.largest_scores(x.scores.reshape(1, -1))[1]
        try:
            fixed.check_magnitude(x, emissions, scores, x.emissions.shape[1])
        except PotentialsError:
            for item in items:
                logs(self.leaves, self.layout, item)
        return group

    def helpers(self, items: range) -> ThreadPoolExecutor | None:
        """Return the threads that may help with a group."""
        T, C, K = int(self.layout.lengths[items].sum()), len(self.layout.longest), int(self.layout.longest.max())
        return pool(self.options.threads) if len(self.items) == 1 and T * C * (C + K) > SMALL else None


def both_ways(x: Sequence) -> Pair:
    """Return the directions through a sequence, whose models serve all of the batch."""
    forward = Direction(x)
    return forward, Direction(x, reverse=True, like=forward)


def as_it_is(x: Sequence, items: range) -> Sequence:
    """Return sequences as they are."""
    return x


def shares(
    leaves: Leaves,
    layout: Layout,
    options: Options,
    along: Callable[[Sequence, range], Sequence] = as_it_is,
    ways: Callable[[Sequence], Pair] = both_ways,
) -> Shares:
    """Return the shares of a batch; `along(x, items)` is what their sequences are read as, `ways` goes through one."""
    C, K, threads = len(layout.longest), int(layout.longest.max()), options.threads or torch.get_num_threads()
    items = groups(layout.lengths.tolist(), C, K, threads)
    x = sequences(leaves, layout, items[0])
    pair = ways(single(along(x, items[0]), 0, 1))  # the model is that of any sequence
    batch = Shares(leaves, layout, options, items, x, pair)
    cut = ([own] if batch.is_group(own) else [range(item, item + 1) for item in own] for own in items)
    return batch._replace(items=[own for parts in cut for own in parts])


def log_partitions(leaves: Leaves, layout: Layout, options: Options) -> Tensor:
    """Return (B,) log partitions from forward passes alone."""
    batch = shares(leaves, layout, options)
    z = torch.zeros(len(layout.lengths), dtype=torch.float64)

    def work(items: range) -> None:
        if batch.is_group(items):
            group = batch.logs(items)
            z[items.start : items.stop] = torch.from_numpy(at_right(group, travel(group, 0)).partition)
            return
        x = logs(leaves, layout, items.start)
        direction = Direction(x, like=batch.pair[0])
        chunks = Chunks([direction], plan_for(x, options, alone(layout), 0), pool(options.threads))
        chunks.settle()
        z[items.start] = float(final_partition(chunks, Direction(x, reverse=True, like=batch.pair[1])))

    each(batch.items, options, work)
    return z.to(leaves.emissions.device)


def alone(layout: Layout) -> bool:
    """Return whether one sequence has all threads to itself."""
    return len(layout.lengths) == 1


def gradients(
    leaves: Leaves,
    layout: Layout,
    options: Options,
    needs: tuple[bool, ...],
    tangent: Leaves | None = None,
    step: float = 0.0,
) -> tuple[Tensor, Gradients]:
    """Return (B,) log partitions and their gradients; with a tangent, the derivatives of both along it."""
    need = dict(zip(Leaves._fields, needs, strict=True))
    need["first"] &= layout.left == "censored"  # else nothing depends on it
    wanted = Wanted(
        changes=need["transitions"] or need["scores"],
        durations=need["durations"] or need["tail"],
    )

    def along(x: Sequence, items: range) -> Sequence:
        if tangent is None:
            return x
        v = sequences(tangent, layout, items)
        small = {f: 1j * step * np.nan_to_num(getattr(v, f).astype(np.float64)) for f in Leaves._fields}
        return x._replace(**{f: getattr(x, f) + moved.reshape(getattr(x, f).shape) for f, moved in small.items()})

    B = len(layout.lengths)
    batch = shares(leaves, layout, options, along)
    z = torch.zeros(B, dtype=torch.float64)
    shapes = [(B, *leaf.shape) if name in SHARED else leaf.shape for name, leaf in zip(need, leaves, strict=True)]
    out = Gradients(
        *(torch.zeros(n, dtype=torch.float64) if need[name] else None for n, name in zip(shapes, need, strict=True))
    )

    def work(items: range) -> None:
        if batch.is_group(items):
            group = batch.logs(items)
            keep(items, gradients_of_group(group._replace(x=along(group.x, items)), batch.helpers(items), wanted))
            return
        x = logs(leaves, layout, items.start)
        how = plan_for(x, options, alone(layout)), pool(options.threads), wanted, batch.pair
        keep(items, gradients_of(along(x, items), *how))

    def keep(items: range, found: Derivatives) -> None:
        rows = slice(items.start, items.stop)
        for total, part in zip((z, *out), found, strict=True):
            if total is not None:
                x = part if tangent is None else part.imag / step
                into = total[rows] if x.ndim == 1 else total[rows, : x.shape[1]]
                into.copy_(torch.from_numpy(x))

    each(batch.items, options, work)
    device = leaves.emissions.device
    return z.to(device), Gradients(*(None if x is None else x.to(device) for x in out))


def join(reports: list[Report]) -> Report:
    """Return one report for a batch: sums of work, worst of everything else."""
    return Report(
        sum(r.chunks for r in reports),
        max(r.rounds for r in reports),
        sum(r.repaired for r in reports),
        *(max(r[i] for r in reports) for i in range(3, 6)),
    )


def table(items: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]) -> Segments:
    """Return segments of several items, (item, starts, ends, labels) each, as one table."""
    item = np.concatenate([np.full(len(starts), b) for b, starts, _, _ in items])
    columns = [np.concatenate([row[i] for row in items]) for i in (1, 2, 3)]
    return Segments(*(torch.from_numpy(x.astype(np.int64)) for x in (item, *columns)))


def viterbi(leaves: Leaves, layout: Layout, options: Options) -> tuple[Tensor, Segments, Report]:
    """Return (B,) scores, the best segments of every item and the report."""
    workers = pool(options.threads)

    def ways(x: Sequence) -> Pair:
        forward = in_fixed_point(x, workers)
        return forward, forward  # nothing goes the other way

    batch = shares(leaves, layout, options, ways=ways)

    def one(item: int) -> tuple[int, Path]:
        x = sequence(leaves, layout, item)
        plan = plan_for(x, options, alone(layout), values=2)
        return plan.chunks, viterbi_item(x, plan, workers, batch.pair[0])

    def work(items: range) -> list[tuple[int, Path]]:
        if batch.is_group(items):
            try:
                return [(1, path) for path in viterbi_group(batch.group(items))]
            except InfeasibleError:
                raise
            except PotentialsError:  # the bounds are those of all items, and of what lies behind them
                return [named(range(k, k + 1), lambda own: one(items[own.start])) for k in range(len(items))]
        return [one(items.start)]

    found = [path for paths in each(batch.items, options, work) for path in paths]
    segments = table([(b, path.starts, path.ends, path.labels) for b, (_, path) in enumerate(found)])
    scores = torch.tensor([path.score * fixed.UNIT for _, path in found], dtype=torch.float64)
    device = leaves.emissions.device
    report = join([Report(chunks=chunks, **path.settled._asdict(), closing=0.0) for chunks, path in found])
    return scores.to(device), Segments(*(x.to(device) for x in segments)), report


def k_best(leaves: Leaves, layout: Layout, options: Options, k: int) -> tuple[Tensor, list[Segments], Report]:
    """Return (B, k) scores, k tables, each with one segmentation of every item that has so many, and the report."""

    def work(item: int):
        x = sequence(leaves, layout, item)
        plan = plan_for(x, options, alone(layout), values=2)
        return plan, k_best_item(x, k, plan, pool(options.threads))

    found = each_item(layout, options, work)
    scores, none = torch.full((len(found), k), -torch.inf, dtype=torch.float64), np.empty((0, 3), np.int64)
    for b, (_, paths) in enumerate(found):
        scores[b, : len(paths.scores)] = torch.tensor(paths.scores, dtype=torch.float64) * fixed.UNIT
    segments = [
        table([(b, *(paths.segments[n] if n < len(paths.segments) else none).T) for b, (_, paths) in enumerate(found)])
        for n in range(k)
    ]
    report = join([Report(chunks=plan.chunks, **paths.settled._asdict(), closing=0.0) for plan, paths in found])
    return scores, segments, report


def sample(leaves: Leaves, layout: Layout, options: Options, n: int, seed: int) -> list[Segments]:
    """Return n samples of every item, each sample one table."""

    def work(item: int):
        x = logs(leaves, layout, item)
        # items draw from seeds of their own, the first from the seed itself
        return sample_item(x, n, seed + item, plan_for(x, options, alone(layout), values=2), pool(options.threads))

    found = each_item(layout, options, work)
    device = leaves.emissions.device
    draws = [table([(b, *samples[i]) for b, samples in enumerate(found)]) for i in range(n)]
    return [Segments(*(x.to(device) for x in draw)) for draw in draws]


class Asked(NamedTuple):
    """Segments to describe, with labels and concepts of the plain model."""

    segments: Segments
    label: np.ndarray  # (N,)
    concepts: np.ndarray  # (L,)
    level: float


class Calling:
    """Segments to describe, item by item."""

    def __init__(self, asked: Asked, items: int):
        item, self.asked = asked.segments.item.numpy(), asked
        self.order = np.argsort(item, kind="stable")
        self.start, self.end = asked.segments.start.numpy()[self.order], asked.segments.end.numpy()[self.order]
        self.label, self.item = asked.label[self.order], item[self.order]
        self.edges = np.searchsorted(self.item, np.arange(items + 1))

    def of(self, items: range) -> tuple[NDArray, Request]:
        """Return the segments of some items, and which of them each one is of."""
        mine, asked = slice(self.edges[items.start], self.edges[items.stop]), self.asked
        request = Request(self.start[mine], self.end[mine], self.label[mine], asked.concepts, asked.level)
        return self.item[mine] - items.start, request

    def describe(self, passes: Passes, item: int) -> Described:
        """Return what is known about the segments of one item."""
        return describe(passes, self.of(range(item, item + 1))[1])

    def describe_group(self, smoothed: Smoothed, items: range) -> Described:
        """Return what is known about the segments of some items that were a group."""
        return describe_group(smoothed, *self.of(items))

    def together(self, parts: list[Described]) -> Calls:
        """Return what is known about every item's segments, in the order in which they were given."""
        back = np.argsort(self.order)
        return Calls(*(torch.from_numpy(np.concatenate(column)[back]) for column in zip(*parts, strict=True)))


class Known(NamedTuple):
    """What is known about the n items of a share, besides what goes by position."""

    log_partition: NDArray  # (n,)
    counts: Counts | None  # with a first axis n; None: nothing but calls was asked for
    calls: Described | None
    report: Report


def marginals(
    leaves: Leaves, layout: Layout, options: Options, want: set[str], label: Tensor, labels: int, asked: Asked | None
) -> Marginals:
    """Return the posteriors of every item; `label` maps the plain model's labels to the `labels` of the user."""
    B, T, L = leaves.emissions.shape
    dtype = leaves.emissions.dtype if leaves.emissions.dtype == torch.float64 else torch.float32
    by_duration = "transitions" in want and L != labels
    wanted = Wanted(
        changes="boundaries" in want or ("transitions" in want and not by_duration),
        durations="durations" in want or by_duration,
    )
    rows = {"start": T + 1, "end": T + 1, "position": T}
    out = {name: torch.zeros(B, n, labels, dtype=dtype) for name, n in rows.items() if name in want}
    kinds = torch.zeros(B, T + 1, leaves.scores.shape[-1], dtype=dtype) if "boundaries" in want else None
    calling = None if asked is None else Calling(asked, B)
    batch = shares(leaves, layout, options)

    def keep(items: slice, u: int, found: Found) -> None:
        for name, values, at in (("start", found.start, u), ("end", found.end, u + 1), ("position", found.position, u)):
            if name in out:
                of_user = contract(torch.from_numpy(values), label, labels)
                out[name][items, at : at + values.shape[1]] = of_user.to(dtype)
        if kinds is not None:
            kinds[items, u : u + found.start.shape[1]] = torch.from_numpy(found.kinds).to(dtype)

    def together(items: range) -> Known:
        helpers, counts = batch.helpers(items), None
        smoothed = smooth(batch.logs(items), helpers)
        if want:
            posteriors = smoothed.find(wanted, helpers)
            counts = smoothed.counted(posteriors, wanted)
            keep(slice(items.start, items.stop), 0, smoothed.inside(posteriors))
        calls = None if calling is None else calling.describe_group(smoothed, items)
        return Known(smoothed.at_right.partition, counts, calls, Report(1, 0, 0, 0.0, 0.0, 0.0))  # nothing was cut

    def one(item: int) -> Known:
        x = logs(leaves, layout, item)
        smoother = Smoother(x, plan_for(x, options, alone(layout)), workers, like=batch.pair)
        counts, closing = combine(smoother, wanted, lambda part: keep(slice(item, item + 1), part.u, part.inside(x)))
        calls = None if calling is None else calling.describe(smoother, item)
        z = np.array([smoother.log_partition()])
        return Known(z, Counts(*(x[None] for x in counts)), calls, smoother.report(closing))

    workers = pool(options.threads)
    work = lambda items: together(items) if batch.is_group(items) else one(items.start)  # noqa: E731
    found = each(batch.items, options, work)
    device = leaves.emissions.device
    every = lambda name: torch.from_numpy(np.concatenate([getattr(known.counts, name) for known in found]))  # noqa: E731
    transitions = durations = steps = None
    if "transitions" in want:
        transitions = every("transitions")
        if by_duration:  # durations of "c entered from c'", but the first segments' own labels
            split = every("durations").reshape(B, -1, labels, labels + 1)
            transitions = split[..., :labels].transpose(2, 3)
    if "durations" in want:
        durations, steps = (contract(every(name), label, labels) for name in ("durations", "tail_steps"))
    send = lambda x: None if x is None else x.to(device)  # noqa: E731
    return Marginals(
        log_partition=torch.from_numpy(np.concatenate([known.log_partition for known in found])).to(device),
        start=send(out.get("start")),
        end=send(out.get("end")),
        position=send(out.get("position")),
        transitions=send(transitions),
        durations=send(durations),
        tail_steps=send(steps),
        boundaries=None if kinds is None else kinds.to(device).split(np.diff(layout.columns).tolist(), -1),
        calls=None if calling is None else calling.together([known.calls for known in found if known.calls]),
        report=join([known.report for known in found]),
    )
