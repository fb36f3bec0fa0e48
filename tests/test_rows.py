"""Tables of values: equal rows, and what columns hold."""

import numpy as np
import pytest
from numpy.typing import NDArray

from semiseg.kernels.cpu.rows import columns, distinct


def table(seed: int = 0) -> NDArray:
    """Return few kinds of rows, NaN and both zeros among them."""
    draw = np.random.default_rng(seed)
    return draw.choice(np.array([0.0, -0.0, 1.0, np.nan]), (500, 3))


def test_rows_name_those_they_are_copies_of() -> None:
    values = table()
    found = distinct(values, 64)
    assert found is not None
    bits = values.view(np.uint64)
    assert np.array_equal(bits[found.chosen][found.place], bits)
    kinds, first = np.unique(bits, axis=0, return_index=True)
    assert len(found.chosen) == len(kinds)
    assert sorted(found.chosen) == sorted(first)


def test_where_rows_stand_does_not_order_them() -> None:
    values = table()
    one, other = distinct(values, 64), distinct(values[::-1], 64)
    assert one is not None
    assert other is not None
    assert np.array_equal(values[one.chosen], values[::-1][other.chosen], equal_nan=True)


@pytest.mark.parametrize("most", [0, 1, 499])
def test_too_many_kinds_of_rows_are_none(most: int) -> None:
    values = np.arange(500.0)[:, None]
    assert distinct(values, most) is None
    assert distinct(values, 500) is not None


def test_rows_that_share_a_place_of_the_table_are_told_apart() -> None:
    values = (np.arange(4096)[:, None] >> np.arange(9) & 1).astype(np.float64)
    found = distinct(values, 512)
    assert found is not None
    assert len(found.chosen) == 512
    assert np.array_equal(values[found.chosen][found.place], values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_are_told_of(dtype: type) -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(5, 2, (300, 4)).astype(dtype)
    values[:, 1] = draw.integers(-3, 9, 300)
    values[draw.random((300, 4)) < 0.2] = np.nan
    values[:, 3] = np.nan
    found = columns(values)
    some = values[:, :3].astype(np.float64)
    assert found.known.tolist() == (~np.isnan(values)).sum(0).tolist()
    assert np.allclose(found.mean[:3], np.nanmean(some, 0))
    assert np.allclose(found.spread[:3], np.nanvar(some, 0) * found.known[:3])
    assert found.least[:3].tolist() == np.nanmin(some, 0).tolist()
    assert found.most[:3].tolist() == np.nanmax(some, 0).tolist()
    assert found.whole.tolist() == [False, True, False, True]
    assert (found.mean[3], found.spread[3], found.least[3], found.most[3]) == (0, 0, np.inf, -np.inf)
