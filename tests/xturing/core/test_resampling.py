"""Intervals by drawing rows anew: what must hold of them, and what others find."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from xturing.core import resampling
from xturing.core.resampling import interval, resampled

tables = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.just(2)),
    elements=st.floats(0, 100, width=32),
)


def mean(sums):
    """Return the first statistic over the second."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[..., 0] / sums[..., 1]


def counted(values):
    """Return a table whose `mean` is that of the values."""
    return np.stack([values, np.ones(len(values))], axis=1)


@given(tables, st.integers(0, 100))
def test_one_seed_draws_the_same_rows(table, seed):
    one = resampled(table, mean, seed=seed, resamples=20)
    assert np.array_equal(one, resampled(table, mean, seed=seed, resamples=20), True)


def test_another_seed_draws_other_rows():
    table = counted(np.arange(50.0))
    one, other = (resampled(table, mean, seed=seed, resamples=20) for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_tables_of_the_same_shape_have_the_same_rows_drawn():
    # So that the difference of two models is that of their rows.
    table = counted(np.random.default_rng(0).normal(size=40))
    shifted = table + np.array([1.0, 0.0])
    one, other = (resampled(t, mean, seed=0, resamples=50) for t in (table, shifted))
    assert other - one == pytest.approx(1.0)


@given(tables, st.integers(0, 5))
def test_drawn_figures_are_those_of_a_plain_loop(table, seed):
    rows = len(table)
    drawn = np.random.default_rng(seed).integers(rows, size=(20, rows))
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = [
            np.divide(
                sum(table[row, 0] for row in draw), sum(table[row, 1] for row in draw)
            )
            for draw in drawn
        ]
    found = resampled(table, mean, seed=seed, resamples=20)
    assert found == pytest.approx(np.array(expected), nan_ok=True)


def test_what_is_drawn_does_not_depend_on_how_much_is_drawn_at_once(monkeypatch):
    table = counted(np.arange(30.0))
    whole = resampled(table, mean, seed=3, resamples=100)
    monkeypatch.setattr(resampling, "MOST_AT_ONCE", 7 * table.size)
    assert np.array_equal(resampled(table, mean, seed=3, resamples=100), whole)


def test_rows_beyond_what_is_drawn_at_once_are_drawn_one_sample_at_a_time(monkeypatch):
    monkeypatch.setattr(resampling, "MOST_AT_ONCE", 1)
    assert len(resampled(counted(np.arange(9.0)), mean, seed=0, resamples=11)) == 11


@given(
    arrays.arrays(np.float64, st.integers(0, 30), elements=st.floats(-10, 10)),
    st.floats(-20, 20),
)
def test_the_interval_holds_the_estimate(values, estimate):
    low, high = interval(values, estimate)
    assert low <= estimate <= high


@given(
    arrays.arrays(np.float64, st.integers(2, 30), elements=st.floats(-10, 10)),
    st.floats(0.1, 0.5),
)
def test_more_confidence_needs_a_wider_interval(values, confidence):
    middle = float(np.median(values))
    low, high = interval(values, middle, confidence=confidence)
    lower, higher = interval(values, middle, confidence=confidence + 0.4)
    assert lower <= low
    assert high <= higher


def test_the_interval_leaves_out_as_much_at_either_end():
    assert interval(np.arange(1001.0), 500.0) == pytest.approx((25.0, 975.0))


@given(
    arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(-10, 10)),
    st.integers(1, 9),
)
def test_draws_that_are_not_defined_are_left_out(values, count):
    with_gaps = np.concatenate([values, np.full(count, math.nan)])
    assert interval(with_gaps, values[0]) == interval(values, values[0])


def test_without_any_defined_draw_the_estimate_is_all_there_is():
    assert interval(np.full(9, math.nan), 0.5) == (0.5, 0.5)


def test_the_interval_of_a_mean_covers_it_in_about_95_of_100_samples():
    # Of 400 samples, 95 % is 380 and its standard deviation 4.4; the percentile
    # bootstrap of 40 rows covers a little less than it says.
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(400):
        values = generator.exponential(size=40)
        draws = resampled(counted(values), mean, seed=seed, resamples=400)
        low, high = interval(draws, float(values.mean()))
        covered += low <= 1.0 <= high
    assert 350 <= covered <= 395


def test_the_interval_is_that_of_scipy_s_percentile_bootstrap():
    values = np.random.default_rng(1).gamma(2.0, size=120)
    peer = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    draws = resampled(counted(values), mean, seed=0, resamples=4000)
    found = interval(draws, float(values.mean()))
    assert found == pytest.approx(tuple(peer), abs=0.15 * (peer.high - peer.low))


def test_a_ratio_s_interval_is_that_of_scipy_s_paired_bootstrap():
    generator = np.random.default_rng(3)
    tokens = generator.integers(1, 60, size=150).astype(float)
    nats = tokens * generator.gamma(2.0, 0.5, size=150)
    peer = stats.bootstrap(
        (nats, tokens),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    draws = resampled(np.stack([nats, tokens], axis=1), mean, seed=0, resamples=4000)
    found = interval(draws, float(nats.sum() / tokens.sum()))
    assert found == pytest.approx(tuple(peer), abs=0.15 * (peer.high - peer.low))
