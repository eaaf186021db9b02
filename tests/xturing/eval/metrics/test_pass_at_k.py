"""Reference: the estimator of Chen et al. 2021 (arXiv 2107.03374, section 2.1)."""

import itertools
import logging
import math
import sys

import pytest
from evaluating import EQUALS, made, outcome, value
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import DataError, SettingsError
from xturing.eval.metrics import opened
from xturing.eval.metrics.pass_at_k import pass_at


@pytest.mark.parametrize(
    ("samples", "right", "k", "chance"),
    [
        # By hand: 2 of 5; 1 - 3/10; certain, as no 4 of 5 are wrong; none.
        (5, 2, 1, 0.4),
        (5, 2, 2, 0.7),
        (5, 2, 4, 1.0),
        (5, 0, 3, 0.0),
        (5, 5, 5, 1.0),
        (200, 1, 100, 0.5),
    ],
)
def test_the_estimate_is_what_it_is_by_hand(samples, right, k, chance):
    assert pass_at(samples, right, k) == pytest.approx(chance)


@given(st.integers(1, 8), st.data())
def test_the_estimate_is_the_share_of_draws_with_a_right_one(samples, data):
    right, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    draws = list(itertools.combinations(range(samples), k))
    with_one = sum(min(draw) < right for draw in draws)
    assert pass_at(samples, right, k) == pytest.approx(with_one / len(draws))


@given(st.integers(1, 400), st.data())
def test_the_estimate_is_the_stable_product_of_the_paper(samples, data):
    # The paper's figure 3 computes 1 - prod(1 - k / arange(n - c + 1, n + 1)).
    right, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    factors = (1 - k / number for number in range(samples - right + 1, samples + 1))
    wanted = 1.0 if samples - right < k else 1 - math.prod(factors)
    assert pass_at(samples, right, k) == pytest.approx(wanted, abs=1e-9)


def test_figures_are_means_over_rows_of_what_the_checker_passes():
    rows = [
        outcome("a", "b", "a", "b", "b", reference="a"),
        outcome("b", "b", "b", "b", "b", reference="a"),
    ]
    metric = made("pass_at_k", rows, checker=EQUALS, k=[1, 2], samples=5, seconds=60)
    assert value(metric, rows, "pass_at_1") == pytest.approx(0.4 / 2)
    assert value(metric, rows, "pass_at_2") == pytest.approx(0.7 / 2)


def test_pass_at_one_is_a_share_if_there_is_one_sample():
    one, five = (
        made("pass_at_k", [], checker=EQUALS, samples=count) for count in (1, 5)
    )
    assert [one.figures[0].is_share, five.figures[0].is_share] == [True, False]


def test_the_checker_is_told_everything_about_the_row(tmp_path):
    checker = tmp_path / "checker.py"
    checker.write_text(
        "import json, sys\n"
        "wanted = {'answer': 'é', 'prompt': 'why?', 'reference': None,"
        " 'fields': {'tests': [1, 2]}}\n"
        "sys.exit(json.load(sys.stdin) != wanted)\n"
    )
    rows = [outcome("é", fields={"tests": [1, 2]})]
    assert value(made("pass_at_k", rows, checker=str(checker), seconds=60), rows) == 1


def test_what_a_checker_says_is_logged_with_the_place(caplog):
    rows = [outcome("a")]
    metric = made("pass_at_k", rows, checker=[sys.executable, "-c", "1/0"], seconds=60)
    with caplog.at_level(logging.INFO, "xturing.eval"):
        assert value(metric, rows) == 0
    assert "rows.jsonl, line 1, answer 1: failed. ZeroDivisionError" in caplog.text


def test_another_number_of_answers_than_was_said_is_refused():
    rows = [outcome("a", "b")]
    with pytest.raises(
        DataError, match="line 1 has 2 answers.*was to have 1.*'samples'"
    ):
        made("pass_at_k", rows, checker=EQUALS).measure(rows[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": []}, r"k is \[\]"),
        ({"k": [0]}, r"k is \[0\].*1 or larger"),
        ({"k": [1, 10], "samples": 5}, "samples is 5.*k is up to 10"),
        ({"seconds": 0}, "seconds is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"memory": "much"}, "memory is 'much'.*800MB"),
    ],
)
def test_an_option_out_of_range_is_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        opened("pass_at_k", [], {"checker": EQUALS} | options)
