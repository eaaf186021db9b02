"""Reference: distinct-n (Li et al. 2016, arXiv 1510.03055), counted by hand."""

import math

import pytest
from evaluating import made, outcomes, scored, value


@pytest.mark.parametrize(
    ("figure", "share"),
    [("distinct1", 2 / 5), ("distinct2", 2 / 4), ("distinct3", 2 / 3)],
)
def test_runs_that_come_again_are_not_distinct(figure, share):
    # "a b a b a": two words of five; ab and ba of four runs; aba and bab of three.
    assert scored("repetition", [("a b a b a", "")], figure) == pytest.approx(share)


def test_runs_are_added_up_over_answers():
    rows = [("a a a a", ""), ("b c", "")]
    assert scored("repetition", rows, "distinct1") == pytest.approx(3 / 6)


def test_what_two_answers_share_is_distinct_in_both():
    assert scored("repetition", [("a b", ""), ("a b", "")], "distinct1") == 1


def test_answers_without_runs_have_no_share_of_them():
    rows = outcomes([("one", ""), ("", "")])
    metric = made("repetition", rows)
    assert value(metric, rows, "distinct1") == 1
    assert math.isnan(value(metric, rows, "distinct2"))
