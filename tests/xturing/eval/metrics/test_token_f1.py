"""Reference: `f1` of torchmetrics' SQuAD."""

import pytest
from evaluating import outcomes, scored
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text.squad import squad

texts = st.lists(
    st.sampled_from("the a cat Cat sat, on . mat mat- été".split()), max_size=6
).map(" ".join)


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_f1_is_that_of_torchmetrics(rows):
    answers = [
        {"prediction_text": answer, "id": str(row)}
        for row, (answer, _) in enumerate(rows)
    ]
    references = [
        {"answers": {"text": [reference], "answer_start": [0]}, "id": str(row)}
        for row, (_, reference) in enumerate(rows)
    ]
    wanted = float(squad(answers, references)["f1"]) / 100
    assert scored("token_f1", rows) == pytest.approx(wanted, abs=1e-6)


def test_words_that_stand_twice_count_twice():
    # 2 of 3 words are shared on either side: precision and recall are 2/3.
    assert scored("token_f1", [("b b c", "b b d")]) == pytest.approx(2 / 3)


def test_half_of_a_short_answer_is_worth_two_thirds():
    # Precision 1/2, recall 1.
    assert scored("token_f1", [("in Paris", "Paris")]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("answer", "f1"), [("", 1), ("the", 1), ("word", 0)])
def test_nothing_is_right_where_nothing_is_wanted(answer, f1):
    assert scored("token_f1", [(answer, "a")]) == f1


def test_the_mean_is_over_rows_not_over_words():
    rows = [("b", "b"), ("x x x x x x", "b c d e")]
    assert scored("token_f1", rows) == 0.5
    assert len(outcomes(rows)) == 2
