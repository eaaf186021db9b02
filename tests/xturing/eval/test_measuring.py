"""Figures, their intervals, and what two models' figures show."""

import math
from dataclasses import replace

import numpy as np
import pytest
from evaluating import likelihood, made, outcome, outcomes
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from xturing.core.errors import DataError
from xturing.eval.comparing import compared
from xturing.eval.measuring import compare, mcnemar, measure, scores, share_interval
from xturing.eval.results import Comparison, Result

RIGHT, WRONG = ("yes", "yes"), ("no", "yes")


def exact(rows):
    found = outcomes(rows)
    return measure(made("exact_match", found), found)


def scored(row, nats, tokens):
    asked = outcome(reference="r", row=row, place=f"rows.jsonl, line {row + 1}")
    return replace(asked, reference=likelihood(nats, tokens=tokens))


def lost(*nats, tokens=1):
    rows = [
        replace(
            outcome(reference="r", row=n), reference=likelihood(each, tokens=tokens)
        )
        for n, each in enumerate(nats)
    ]
    return measure(made("loss", rows), rows)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_s_test_is_that_of_scipy(gained, lost_rows):
    count = gained + lost_rows
    expected = binomtest(gained, count).pvalue if count else 1.0
    assert mcnemar(gained, lost_rows) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 300), st.data())
def test_the_interval_of_a_share_is_wilson_s(rows, data):
    hits = data.draw(st.integers(0, rows))
    expected = binomtest(hits, rows).proportion_ci(method="wilson")
    low, high = share_interval(hits, rows)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_all_rows_right_leave_a_doubt():
    (score,) = scores(exact([RIGHT] * 40), seed=0)
    assert (score.value, score.high) == (1.0, 1.0)
    assert score.low == pytest.approx(0.912, abs=1e-3)


def test_a_score_lies_in_its_interval():
    for score in scores(lost(1.0, 2.0, 4.0, 0.5, 3.0), seed=0):
        assert score.low <= score.value <= score.high


def test_another_seed_draws_other_rows():
    measured = lost(1.0, 2.0, 4.0, 0.5, 3.0, 2.5, 9.0)
    assert scores(measured, seed=0) == scores(measured, seed=0)
    assert scores(measured, seed=0)[0].low != scores(measured, seed=1)[0].low


@given(st.lists(st.floats(0, 20), min_size=1, max_size=30))
def test_a_model_against_itself_shows_no_difference(nats):
    for found in compare(lost(*nats), lost(*nats), seed=0):
        assert (found.low, found.high) == (0, 0)
        assert found.verdict == "no difference shown"


def test_a_lower_loss_in_every_row_is_better():
    found = compare(lost(3, 4, 5, 6, 7), lost(2, 3.5, 4, 5, 6.5), seed=0)
    assert [each.verdict for each in found] == ["better"] * 3
    assert all(each.high < 0 for each in found)


def test_rows_are_compared_with_themselves():
    # Between rows, losses differ by far more than between the models.
    base = [1.0, 50.0, 3.0, 80.0, 7.0, 30.0]
    found = compare(lost(*base), lost(*(each - 0.01 for each in base)), seed=0)[0]
    assert found.verdict == "better"


def test_fewer_than_five_rows_show_nothing():
    found = compare(lost(3, 4, 5, 6), lost(1, 1, 1, 1), seed=0)[0]
    assert found.high < 0
    assert found.verdict == "no difference shown"


def test_right_rows_gained_and_lost_are_counted():
    found = compare(exact([RIGHT, WRONG, WRONG]), exact([WRONG, RIGHT, RIGHT]), seed=0)
    assert (found[0].gained, found[0].lost) == (2, 1)


def test_a_few_rows_gained_are_not_enough_for_mcnemar_s_test():
    base, other = [WRONG] * 40, [RIGHT] * 4 + [WRONG] * 36
    (found,) = compare(exact(base), exact(other), seed=0)
    assert found.low > 0
    assert found.p_value == pytest.approx(0.125)
    assert found.verdict == "no difference shown"


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_named_and_not_averaged(broken):
    with pytest.raises(DataError, match=r"rows.jsonl, line 1.* is (nan|inf)"):
        lost(broken, 1.0)


def test_answers_that_are_all_empty_are_an_error_and_no_score_of_zero():
    with pytest.raises(DataError, match="All 3 answers are empty"):
        exact([("", "yes")] * 3)


def test_some_empty_answers_are_wrong_answers():
    (score,) = scores(exact([("", "yes"), RIGHT]), seed=0)
    assert score.value == 0.5


def result(name, tokens):
    rows = tuple(scored(row, 1.0, tokens) for row in range(6))
    return Result(model=name, fingerprint="", scores=(), outcomes=rows)


def test_losses_a_token_are_not_compared_between_other_tokens():
    base, other = lost(*[4.0] * 6), lost(*[3.0] * 6, tokens=2)
    found = compared(
        result("base", 1),
        result("other", 2),
        [(base, other)],
        (base, other),
        seed=0,
        resamples=200,
    )
    assert [each.name for each in found.comparisons] == ["bits_per_byte"]
    assert found.forgetting is not None
    assert found.forgetting.name == "bits_per_byte"


def test_the_sentence_says_which_model_by_how_much_and_how_sure():
    base, other = exact([WRONG] * 20), exact([RIGHT] * 20)
    found = compared(
        result("small", 1),
        result("tuned", 1),
        [(base, other), (lost(*[2.0] * 20), lost(*[2.0] * 20))],
        None,
        seed=0,
        resamples=200,
    )
    assert found.sentence == (
        "tuned is better than small: exact_match went from 0.0% to 100.0% over 20 rows "
        "(+100.0 points, 95% interval +100.0 to +100.0 points; 20 rows gained and 0 "
        "lost, p below 0.0001). No difference shown in loss, perplexity and "
        "bits_per_byte."
    )


def test_an_undefined_difference_shows_nothing():
    found = Comparison(
        name="precision",
        base=math.nan,
        other=1.0,
        low=math.nan,
        high=math.nan,
        rows=20,
        higher_is_better=True,
    )
    assert found.verdict == "no difference shown"


def test_drawn_rows_are_the_same_for_both_models():
    rng = np.random.default_rng(0)
    base = rng.normal(10, 5, 50)
    found = compare(lost(*base), lost(*(base - 1)), seed=3)[0]
    assert (found.low, found.high) == pytest.approx((-1, -1))
