"""Where the segments that cover given positions begin and end: one law for each side of every call.

A segment of c that covers the position left of boundary b begins j positions before that one and ends i boundaries
behind b, with x[j] + D[j + i + 1, c] + y[i] (see `sides.py`): the law of one side is a sum over the other. A row of
the table of pairs is one explicit duration's reach; all further ones are the `period` folded rows behind it, and what
these hold is dealt out to their members from g and the slope of the tail, as far as an answer takes. Both laws are
written by distance from the covered position, so the two sides (way 0: starts, 1: ends) are one code.
"""

import triton
import triton.language as tl

from .pieces import chunk_at
from .sides import UNCUT
from .tiles import FLOOR, NEVER

_NEVER, _FLOOR, _UNCUT = tl.constexpr(float(NEVER)), tl.constexpr(float(FLOOR)), tl.constexpr(UNCUT)
NOTHING = tl.constexpr(-100.0)  # log2 of pairs that are left out, next to a sum of at least 2^-10


@triton.jit
def _here(
    rows, beyond, low, at, place, way, b, n, d, wanted,
    FORBIDDEN: tl.constexpr,
):  # fmt: skip
    """Return one side of boundary b at distances d; behind its chunk's end, by age, it is in `beyond`."""
    t = tl.where(way == 0, b - 1 - d, b + d)
    inside = (t >= 0) & (t <= n)
    age = tl.where(way == 0, -t, t - n)
    x = tl.load(rows + at + t, wanted & inside, _NEVER)
    x = tl.where(inside, x, tl.load(beyond + place + age - 1, wanted & ~inside, _NEVER))
    if FORBIDDEN:
        oldest = tl.load(low + at + tl.where(way == 0, b, tl.minimum(t, n)), wanted, _UNCUT)
        x = tl.where(tl.where(way == 0, t, b) >= oldest, x, _NEVER)
    return x


@triton.jit
def _other_side(
    g, G, left, right, V, Q, V_left, Q_right, low, at, place, way, b, n, i, K, p,
    FORBIDDEN: tl.constexpr,
):  # fmt: skip
    """Return what stands across from a side at distances i: singly up to K, then the folded rows."""
    y = _here(
        tl.where(way == 0, G, g), tl.where(way == 0, right, left), low, at, place, 1 - way, b, n, i, i < K, FORBIDDEN
    )
    if p > 0:
        folded = _here(
            tl.where(way == 0, Q, V), tl.where(way == 0, Q_right, V_left), low, at, place, 1 - way, b, n, i,
            (i >= K) & (i < K + p), FORBIDDEN,
        )  # fmt: skip
        y = tl.where(i < K, y, folded)
    return y


@triton.jit(do_not_specialize=["size", "columns", "M", "W"])
def near_kernel(
    places, reference, members, tops, longest, period, law, chunks, g, G, left, right, V, Q, V_left, Q_right, low, out,
    size, columns, M, W,
    C: tl.constexpr, A: tl.constexpr, BLOCK_J: tl.constexpr, BLOCK_I: tl.constexpr,
    FORBIDDEN: tl.constexpr, MAX: tl.constexpr,
):  # fmt: skip
    """Write out[call, way, j]: the sum over all pairs of source j of their concept's labels, relative to a reference.

    MAX: the log2 of the largest of them.
    """
    call, way = tl.program_id(0).to(tl.int64), tl.program_id(1)
    j = tl.program_id(2) * BLOCK_J + tl.arange(0, BLOCK_J)
    chunk, b, concept = tl.load(places + 3 * call), tl.load(places + 3 * call + 1), tl.load(places + 3 * call + 2)
    _, _, n, row = chunk_at(chunks, chunk)
    b = b.to(tl.int32)
    base = tl.load(reference + call)
    total = tl.full([BLOCK_J, BLOCK_I], _NEVER if MAX else 0.0, tl.float64 if MAX else tl.float32)
    for m in range(M):
        c = tl.load(members + concept * M + m)
        label = tl.maximum(c, 0)
        K = tl.where(c >= 0, tl.load(longest + label), 0)
        p = tl.load(period + label)
        at, place = label.to(tl.int64) * size + row, (chunk * C + label) * A
        x = _here(
            tl.where(way == 0, g, G), tl.where(way == 0, left, right), low, at, place, way, b, n, j, j < K, FORBIDDEN
        ) - base  # fmt: skip
        best = tl.max(x, 0)
        if best > _FLOOR:
            for first in range(0, K + p, BLOCK_I):
                i = first + tl.arange(0, BLOCK_I)
                y = _other_side(g, G, left, right, V, Q, V_left, Q_right, low, at, place, way, b, n, i, K, p, FORBIDDEN)
                if MAX:
                    pairs = tl.load(law + label * columns + 1 + j[:, None] + i[None, :]) + (x[:, None] + y[None, :])
                    total = tl.maximum(total, pairs)
                else:
                    if best + tl.max(y, 0) + tl.load(tops + label) > NOTHING:
                        pairs = tl.load(law + label * columns + 1 + j[:, None] + i[None, :]) + (x[:, None] + y[None, :])
                        total += tl.exp2(pairs.to(tl.float32))
    found = tl.max(total, 1) if MAX else tl.sum(total, 1).to(tl.float64)
    tl.store(out + (2 * call + way) * W + j, found)


@triton.jit(do_not_specialize=["size", "columns", "M"])
def folds_kernel(
    places, members, longest, period, law, chunks, g, G, left, right, V, Q, V_left, Q_right, low, factor, mass,
    size, columns, M,
    C: tl.constexpr, A: tl.constexpr, P: tl.constexpr, BLOCK_I: tl.constexpr, FORBIDDEN: tl.constexpr,
):  # fmt: skip
    """Write [call, way, m, P] log2 scores of the folded rows of every label of the concepts: of a source that has
    gone into one (`factor`, its own score left out), and of the row as a whole (`mass`)."""
    call, way, m = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    chunk, b, concept = tl.load(places + 3 * call), tl.load(places + 3 * call + 1), tl.load(places + 3 * call + 2)
    c = tl.load(members + concept * M + m)
    if c < 0:
        return
    K, p = tl.load(longest + c), tl.load(period + c)
    _, _, n, row = chunk_at(chunks, chunk)
    b = b.to(tl.int32)
    at, place = c.to(tl.int64) * size + row, (chunk * C + c) * A
    r = tl.arange(0, P)
    top = tl.full([P], _NEVER, tl.float64)
    total = tl.zeros([P], tl.float32)
    for first in range(0, tl.where(p > 0, K + p, 0), BLOCK_I):
        i = first + tl.arange(0, BLOCK_I)
        y = _other_side(g, G, left, right, V, Q, V_left, Q_right, low, at, place, way, b, n, i, K, p, FORBIDDEN)
        pairs = tl.load(law + c * columns + 1 + K + r[:, None] + i[None, :]) + y[None, :]
        new = tl.maximum(top, tl.max(pairs, 1))
        total = total * tl.exp2((top - new).to(tl.float32)) + tl.sum(tl.exp2((pairs - new[:, None]).to(tl.float32)), 1)
        top = new
    found = tl.where(top > _FLOOR, top + tl.log2(total).to(tl.float64), _NEVER)
    whole = _here(
        tl.where(way == 0, V, Q), tl.where(way == 0, V_left, Q_right), low, at, place, way, b, n, K + r, r < p,
        FORBIDDEN,
    )  # fmt: skip
    out = ((2 * call + way) * M + m) * P + r
    tl.store(factor + out, found, r < p)
    tl.store(mass + out, found + whole, r < p)


@triton.jit
def _far(
    rows, beyond, low, chunks, spans, bases, cuts, owners, here, b, way, c, d, wanted, size,
    C: tl.constexpr, A: tl.constexpr, FORBIDDEN: tl.constexpr,
):  # fmt: skip
    """Return one side of boundary b of chunk `here` at distances d, in any chunk in memory, on the scale of that one.

    Behind the last chunk in memory it is in `beyond`.
    """
    own = tl.load(chunks + 4 * here + 3)
    first, last = tl.load(spans + 2 * here), tl.load(spans + 2 * here + 1)  # of the item, in memory
    low_row = tl.load(chunks + 4 * first + 3)
    high_row = tl.load(chunks + 4 * last + 3) + tl.load(chunks + 4 * last + 2) - tl.load(chunks + 4 * last + 1)
    t = own + tl.where(way == 0, b - 1 - d, b + d)
    inside = (t >= low_row) & (t <= high_row)
    k = tl.load(owners + t - way, wanted & inside, 0).to(tl.int64)
    k = tl.where(inside, k, tl.where(way == 0, first, last))
    age = tl.where(way == 0, low_row - t, t - high_row)
    at = c.to(tl.int64) * size
    x = tl.load(rows + at + t, wanted & inside, _NEVER)
    x = tl.where(inside, x, tl.load(beyond + (k * C + c) * A + age - 1, wanted & ~inside, _NEVER))
    shift = tl.load(bases + k * C + c) - tl.load(bases + here * C + c)
    x += tl.where(way == 0, shift, -shift)
    if FORBIDDEN:
        seen = tl.where(way == 0, own + b, tl.minimum(t, high_row))
        owner = tl.where(way == 0, here, k)
        oldest = tl.load(low + at + seen, wanted, _UNCUT)
        before = tl.load(cuts + owner * C + c, wanted, 0)
        oldest = tl.where(oldest > _UNCUT, oldest + tl.load(chunks + 4 * owner + 3), before)
        x = tl.where(tl.where(way == 0, t, own + b) >= oldest, x, _NEVER)
    return x


@triton.jit(do_not_specialize=["size", "M", "W"])
def rest_kernel(
    rows, places, members, longest, period, tail, limits, factor, norm, shares, chunks, spans, bases, cuts, owners,
    V, Q, V_left, Q_right, low, out,
    size, M, W,
    C: tl.constexpr, A: tl.constexpr, P: tl.constexpr, FORBIDDEN: tl.constexpr,
):  # fmt: skip
    """Write out[row, m]: the share of a label's segments that begin (end) at or beyond a distance, through its tail.

    The distance is W, or the row's limit if that is less, or where the label's folded rows begin if that is more.
    """
    place, m = tl.program_id(0).to(tl.int64), tl.program_id(1)
    row = tl.load(rows + place)
    call, way = row // 2, row % 2
    here, b, concept = tl.load(places + 3 * call), tl.load(places + 3 * call + 1), tl.load(places + 3 * call + 2)
    c = tl.load(members + concept * M + m)
    if c < 0:
        return
    if tl.load(shares + row * M + m) == 0:  # the label has no tail, or nothing in it
        return
    K, p = tl.load(longest + c), tl.load(period + c)
    r = tl.arange(0, P)
    least = tl.maximum(tl.minimum(tl.load(limits + row), W), K)
    steps = tl.maximum(least - K - r + p - 1, 0) // p
    d = K + r + steps * p
    x = _far(
        tl.where(way == 0, V, Q), tl.where(way == 0, V_left, Q_right), low, chunks, spans, bases, cuts, owners,
        here, b, way, c, d, r < p, size, C, A, FORBIDDEN,
    )  # fmt: skip
    x += tl.load(factor + (row * M + m) * P + r, r < p, _NEVER) + steps * tl.load(tail + c) - tl.load(norm + row)
    tl.store(out + place * M + m, tl.sum(tl.exp2(x.to(tl.float32)), 0).to(tl.float64))


@triton.jit(do_not_specialize=["size", "M", "W", "known"])
def tail_kernel(
    rows, places, members, longest, period, tail, limits, factor, norm, shares, chunks, spans, bases, cuts, owners,
    g, G, left, right, low, near, out,
    size, M, W, known,
    C: tl.constexpr, A: tl.constexpr, P: tl.constexpr, BLOCK: tl.constexpr, FORBIDDEN: tl.constexpr,
):  # fmt: skip
    """Write out[row, d] for all d < W: what is known of `near` distances, and what labels' tails deal out to each."""
    place = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(rows + place)
    call, way = row // 2, row % 2
    here, b, concept = tl.load(places + 3 * call), tl.load(places + 3 * call + 1), tl.load(places + 3 * call + 2)
    limit, base = tl.load(limits + row), tl.load(norm + row)
    total = tl.load(near + row * known + d, d < known, 0.0)
    for m in range(M):
        c = tl.load(members + concept * M + m)
        if tl.load(shares + row * M + m) > 0:
            K, p = tl.load(longest + c), tl.load(period + c)
            wanted = (d >= K) & (d < limit)
            steps = tl.maximum(d - K, 0) // p
            x = _far(
                tl.where(way == 0, g, G), tl.where(way == 0, left, right), low, chunks, spans, bases, cuts, owners,
                here, b, way, c, d, wanted, size, C, A, FORBIDDEN,
            )  # fmt: skip
            x += tl.load(factor + (row * M + m) * P + tl.maximum(d - K, 0) % p, wanted, _NEVER)
            x += steps * tl.load(tail + c) - base
            total += tl.exp2(tl.where(wanted, x, _NEVER).to(tl.float32)).to(tl.float64)
    tl.store(out + place * W + d, total, d < W)
