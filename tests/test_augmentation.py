"""What recordings are changed into to learn from: waves of another size, other channels, ends elsewhere."""

import numpy as np

from semiseg.augmentation import FURTHEST, TAPER, Augment, moved, reshaped
from semiseg.signal_windows import Lead, draw, mixed
from semiseg.training import UNKNOWN, Recipe

RATE = 250.0
ROWS = np.array([[100, 130, 0], [150, 180, 1], [180, 240, UNKNOWN], [300, 360, 2], [900, 940, 2]])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def signal(n: int = 1000) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(n).astype(np.float32).cumsum(dtype=np.float32)


def lead(channel: str, rows: np.ndarray = ROWS) -> Lead:
    return Lead(f"1_{channel}", "1", signal() + len(channel), RATE, rows)


def test_waves_are_turned_over_above_their_chords_and_nothing_far_from_them_changes():
    x = signal()
    out = reshaped(x, ROWS, RATE, Augment(turned=1.0), rng())
    for start, end, name in ROWS.tolist():
        at = np.arange(start, end)
        chord = np.interp(at, [start, end - 1], x[[start, end - 1]])
        expected = x[at] if name == UNKNOWN else 2 * chord - x[at]
        np.testing.assert_allclose(out[at], expected, atol=1e-4)
    far = int(TAPER[1] * RATE) + 1
    beside = np.ones(len(x), bool)
    for start, end, _ in ROWS:
        beside[start - far : end + far] = False
    assert beside.any()
    assert (out[beside] == x[beside]).all()


def test_waves_stay_as_they_are_without_a_spread_and_where_the_window_cuts_them():
    x = signal()
    np.testing.assert_allclose(reshaped(x, ROWS, RATE, Augment(), rng()), x, atol=1e-5)
    cut = np.array([[-10, 20, 0], [990, 1010, 1]])
    assert (reshaped(x, cut, RATE, Augment(turned=1.0), rng()) == x).all()


def test_waves_of_a_name_change_alike():
    bump = np.concatenate([np.zeros(50), np.hanning(60), np.zeros(50)]).astype(np.float32)
    x, rows = np.tile(bump, 2), np.array([[50, 110, 0], [210, 270, 0]])
    out = reshaped(x, rows, RATE, Augment(waves=0.5), rng())
    np.testing.assert_allclose(out[:160], out[160:], atol=1e-6)
    assert abs(out.max() - 1) > 0.01


def test_moved_ends_do_not_overlap_and_what_touches_goes_on_to():
    for seed in range(50):
        out = moved(ROWS, 3.0, np.random.default_rng(seed))
        assert (np.diff(out[:, :2].ravel()) >= 0).all()
        assert (out[:, 2] == ROWS[:, 2]).all()
        assert out[2, 0] == out[1, 1]
        assert np.abs(out - ROWS).max() <= np.ceil(3.0 * FURTHEST)
    assert len(moved(ROWS[:0], 3.0, rng())) == 0


def test_channels_are_mixed_with_those_that_show_no_other_kind_of_wave():
    own, other = lead("ii"), lead("v2", ROWS[:2])
    out = mixed(own, [own, other], 0.5, rng())
    share = (out - own.values) / other.values
    np.testing.assert_allclose(share, share[0], rtol=1e-2)
    assert 0 < abs(share[0]) <= 0.5 * own.values.std() / other.values.std() * 1.01
    assert mixed(other, [own, other], 0.5, rng()) is other.values


def test_windows_with_all_of_it_are_whole():
    augment = Augment(mix=1.0, waves=0.5, turned=0.2, jitter=0.01)
    batch = draw([lead("ii"), lead("v2")], RATE, 3, Recipe(window=512, batch=4), augment, 0)
    assert batch.values.shape == batch.labels.shape == (4, 512)
    assert set(batch.labels.unique().tolist()) <= {UNKNOWN, 0, 1, 2, 3}
    again = draw([lead("ii"), lead("v2")], RATE, 3, Recipe(window=512, batch=4), augment, 0)
    assert bool((batch.labels == again.labels).all())
