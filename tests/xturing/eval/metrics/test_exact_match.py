"""Reference: `exact_match` of torchmetrics' SQuAD, and what normalising means."""

import pytest
from evaluating import made, outcomes, scored, value
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text.squad import squad

answers = st.lists(
    st.sampled_from(["The", "a", "an", "Paris", "paris.", "theory", "\n", "-", "É"]),
    max_size=4,
).map(" ".join)


def matched(answer: str, reference: str, **options) -> float:
    rows = outcomes([(answer, reference)])
    return value(made("exact_match", rows, **options), rows)


def test_white_space_does_not_count():
    assert matched(" on\n two  lines\t", "on two lines") == 1


def test_white_space_counts_if_nothing_is_normalised():
    assert matched("Paris ", "Paris", normalise="none") == 0
    assert matched("Paris", "Paris", normalise="none") == 1


def test_case_counts_unless_it_is_normalised():
    assert matched("paris", "Paris") == 0
    assert matched("PARIS.", "Paris", normalise="label") == 1
    assert matched("the paris!", "Paris", normalise="squad") == 1


def test_the_figure_is_a_share_of_rows():
    assert scored("exact_match", [("a", "a"), ("b", "a"), ("a", "a"), ("", "a")]) == 0.5


@given(answers, answers)
def test_squads_normalising_is_that_of_torchmetrics(answer, reference):
    wanted = squad(
        {"prediction_text": answer, "id": "0"},
        {"answers": {"text": [reference], "answer_start": [0]}, "id": "0"},
    )
    found = matched(answer, reference, normalise="squad")
    assert 100 * found == pytest.approx(float(wanted["exact_match"]))
