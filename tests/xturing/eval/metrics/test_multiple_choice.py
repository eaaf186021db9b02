"""Reference: `acc` and `acc_norm` of the lm-evaluation-harness."""

from dataclasses import replace

import pytest
from datasets import Dataset
from evaluating import likelihood, made, outcome, question, value
from hypothesis import given
from hypothesis import strategies as st
from lm_eval.api.task import ConfigurableTask

from xturing.core.errors import DataError
from xturing.eval.metrics import opened
from xturing.eval.questions import Outcome

texts = st.text(alphabet="abé巴 ", max_size=9).map(str.strip).filter(bool)
choices = st.lists(
    st.tuples(texts, st.sampled_from([0.5, 1.0, 2.0, 3.0, 7.5])), min_size=2, max_size=5
)


def chosen(choices: list[tuple[str, float]], right: int) -> Outcome:
    """Return an outcome of choices and their nats."""
    asked = outcome(choices=tuple(text for text, _ in choices), right=right)
    return replace(asked, choices=tuple(likelihood(nats) for _, nats in choices))


@pytest.fixture(scope="module")
def harness():
    """Return a multiple choice task of the harness, whose rows are in memory."""
    rows = [{"choices": ["a", "b"], "right": 0}]
    return ConfigurableTask(
        config={
            "task": "choices",
            "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "",
            "doc_to_choice": lambda row: row["choices"],
            "doc_to_target": lambda row: row["right"],
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        }
    )


@given(choices, st.data())
def test_figures_are_those_of_the_harness(harness, choices, data):
    right = data.draw(st.integers(0, len(choices) - 1))
    row = {"choices": [text for text, _ in choices], "right": right}
    wanted = harness.process_results(row, [(-nats, False) for _, nats in choices])
    rows = [chosen(choices, right)]
    metric = made("multiple_choice", rows)
    assert value(metric, rows, "choice_accuracy") == wanted["acc"]
    assert value(metric, rows, "choice_accuracy_normalised") == wanted["acc_norm"]


def test_a_long_choice_can_be_the_likeliest_by_the_character():
    rows = [chosen([("no", 2.0), ("certainly", 3.0)], right=1)]
    metric = made("multiple_choice", rows)
    assert value(metric, rows, "choice_accuracy") == 0
    assert value(metric, rows, "choice_accuracy_normalised") == 1


def test_the_space_before_a_choice_is_no_character_of_it():
    # 1.1 for one character is more than 2.0 for two, but less than 2.0 for three.
    rows = [chosen([(" a", 1.1), (" bc", 2.0)], right=1)]
    metric = made("multiple_choice", rows)
    assert value(metric, rows, "choice_accuracy_normalised") == 1


def test_of_equal_choices_the_first_counts():
    same = [("one", 1.0), ("two", 1.0)]
    rows = [chosen(same, right=0), chosen(same, right=1)]
    assert value(made("multiple_choice", rows), rows) == 0.5


def test_a_choice_whose_loss_is_no_number_is_named():
    rows = [chosen([("one", 1.0), ("two", float("nan"))], right=0)]
    with pytest.raises(DataError, match="choice 1 of rows.jsonl, line 1 is nan"):
        made("multiple_choice", rows).measure(rows[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "line 3 has 0 choices.*two or more"),
        ({"choices": ("a",), "right": 0}, "line 3 has 1 choices"),
        ({"choices": ("a", "")}, "Choice 1 of .*line 3 is empty"),
        ({"choices": ("a", "b")}, "line 3 does not say which.*None.*from 0 to 1"),
        ({"choices": ("a", "b"), "right": 2}, "line 3 does not say which.*says 2"),
    ],
)
def test_a_question_that_is_none_of_multiple_choice_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        opened("multiple_choice", [question(place="rows.jsonl, line 3", **changes)], {})
