"""Sums over durations, a tile of consecutive outputs at a time.

`g` holds sources `h[s] - S[s]` of one label, indexed so that output `j` of a tile at `t` lies `k = t + 1 + j - s` after
source `s`. In the log semiring a block of BLOCK sources is stored as `weight = exp(g - ref)` beside its own `ref`, so
the loop over pairs is multiply and add; what might have underflowed is seen in the sum and redone in the log domain.
float64 throughout: one AVX-512 core does 2e10 pairs a second, and its 1,400 nats of range make the redo rare.
"""

import numpy as np

from ..compiled import compiled

BLOCK = 64  # outputs of a tile and sources of a weight block; 32 is 10 % slower, 128 gains nothing
# Every lost product is below 1e-308 * e^60 (see HEADROOM), so a sum above this is exact to rounding.
TRUSTED = 1e-250
HEADROOM = 60.0  # nats a source inside the tile may exceed the tile's reference before it is rescaled

NOTHING = 40.0  # nats below another term where a term does not change the last digit of their sum


@compiled(fast=True)
def add_products(weights, scale, table, first_k, acc):
    """Add `scale * weights[i] * table[first_k - i + j]` over sources `i` to every output `acc[j]`."""
    n = weights.shape[0]
    outputs = acc.shape[0]
    i = 0
    while i + 8 <= n:
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        w4, w5, w6, w7 = weights[i + 4], weights[i + 5], weights[i + 6], weights[i + 7]
        if w0 != 0 or w1 != 0 or w2 != 0 or w3 != 0 or w4 != 0 or w5 != 0 or w6 != 0 or w7 != 0:
            w0, w1, w2, w3 = w0 * scale, w1 * scale, w2 * scale, w3 * scale
            w4, w5, w6, w7 = w4 * scale, w5 * scale, w6 * scale, w7 * scale
            low = first_k - i - 7
            x = table[low : low + outputs + 7]
            for j in range(outputs):
                acc[j] += (w0 * x[j + 7] + w1 * x[j + 6] + w2 * x[j + 5] + w3 * x[j + 4]) + (
                    w4 * x[j + 3] + w5 * x[j + 2] + w6 * x[j + 1] + w7 * x[j]
                )
        i += 8
    while i < n:
        w0 = weights[i] * scale
        if w0 != 0:
            x = table[first_k - i : first_k - i + outputs]
            for j in range(outputs):
                acc[j] += w0 * x[j]
        i += 1


@compiled(fast=True)
def take_maxima(sources, table, first_k, acc):
    """Raise every output `acc[j]` to the largest `sources[i] + table[first_k - i + j]` over sources `i`."""
    n = sources.shape[0]
    outputs = acc.shape[0]
    i = 0
    while i + 8 <= n:
        w0, w1, w2, w3 = sources[i], sources[i + 1], sources[i + 2], sources[i + 3]
        w4, w5, w6, w7 = sources[i + 4], sources[i + 5], sources[i + 6], sources[i + 7]
        low = first_k - i - 7
        x = table[low : low + outputs + 7]
        for j in range(outputs):
            a = max(max(w0 + x[j + 7], w1 + x[j + 6]), max(w2 + x[j + 5], w3 + x[j + 4]))
            b = max(max(w4 + x[j + 3], w5 + x[j + 2]), max(w6 + x[j + 1], w7 + x[j]))
            acc[j] = max(acc[j], max(a, b))
        i += 8
    while i < n:
        w0 = sources[i]
        x = table[first_k - i : first_k - i + outputs]
        for j in range(outputs):
            acc[j] = max(acc[j], w0 + x[j])
        i += 1


@compiled
def weigh(g, weights):
    """Fill `weights` with `exp(g - ref)` and return `ref`, the largest real part of `g` (-inf: none alive)."""
    ref = -np.inf
    for i in range(g.shape[0]):
        if g[i].real > ref:
            ref = g[i].real
    for i in range(g.shape[0]):
        if ref > -np.inf and g[i].real - ref > -745.0:
            weights[i] = np.exp(g[i] - ref)
        else:
            weights[i] = 0
    return ref


@compiled
def exact_sum(g, table, k):
    """Return `logsumexp_i g[i] + table[k - i]`, taken in the log domain."""
    best = -np.inf
    for i in range(g.shape[0]):
        best = max(best, (g[i] + table[k - i]).real)
    if best == -np.inf:
        return g.dtype.type(-np.inf)
    total = g.dtype.type(0)
    for i in range(g.shape[0]):
        x = g[i] + table[k - i]
        if x.real - best > -50.0:
            total += np.exp(x - best)
    return best + np.log(total)


@compiled
def add_logs(a, b):
    """Return `log(exp(a) + exp(b))`."""
    if a.real < b.real:
        a, b = b, a
    if b.real == -np.inf or b.real - a.real < -NOTHING:
        return a
    return a + np.log(1.0 + np.exp(b - a))
