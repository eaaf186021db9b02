"""Helpers of xTuring 0.1 keep working: checks of single answers."""

import pytest
import tiny

from xturing.core.errors import DataError, SettingsError
from xturing.core.events import listening
from xturing.eval import Advanced
from xturing.models import GenericModel


@pytest.fixture
def model(tiny_folder):
    made = GenericModel(tiny_folder)
    made.generation_config().max_new_tokens = 4
    return made


def says(monkeypatch, *answers):
    given = iter(answers)
    monkeypatch.setattr(
        GenericModel, "generate", lambda *_, texts, **__: [next(given) for _ in texts]
    )


def test_a_completion_query_returns_the_answer_and_the_prompt(model):
    answer, prompt = model.completion_query("say fox")
    assert prompt == "say fox"
    assert answer == model.generate(texts="say fox")


def test_a_completion_query_takes_messages(model):
    messages = [{"role": "user", "content": "say fox"}]
    assert model.completion_query(messages)[0] == model.generate(texts="say fox")


def test_a_check_has_the_fields_that_it_had(model, monkeypatch):
    says(monkeypatch, "yes, it is")
    assert model.check_sampled_text("Is it?", "yes") == {
        "prompt": "Is it?",
        "sampled": "yes, it is",
        "options": ["yes"],
        "picked": "yes",
        "expected": ["yes"],
        "match": True,
    }


@pytest.mark.parametrize(
    ("answer", "picked"),
    [("B is right", "B"), (" B", "B"), ("Be careful", None), ("b", None), ("", None)],
)
def test_an_option_is_picked_as_a_whole_word(model, monkeypatch, answer, picked):
    says(monkeypatch, answer)
    checked = model.check_sampled_text("?", "B", options=["A", "B"])
    assert (checked["picked"], checked["match"]) == (picked, picked == "B")


def test_what_is_expected_has_to_be_an_option(model, monkeypatch):
    says(monkeypatch, "A")
    with pytest.raises(SettingsError, match="'C' is expected, but is none of"):
        model.check_sampled_text("?", "C", options=["A", "B"])


def test_a_sample_is_instruction_and_text(model, monkeypatch):
    says(monkeypatch, "c")
    checked = model.eval_sample({"instruction": "a", "text": "b", "target": "c"})
    assert (checked["prompt"], checked["match"]) == ("a b", True)


def test_all_samples_are_asked_and_not_the_first_ten__predecessor_helper(model):
    told = []
    with listening(told.append):
        checked = model.eval_all_samples(tiny.ROWS)
    assert [each["prompt"] for each in checked] == [
        row["instruction"] for row in tiny.ROWS
    ]
    assert [event.done for event in told if isinstance(event, Advanced)] == [1, 2, 3]


def test_progress_is_told_only_where_it_is_wanted(model):
    told = []
    with listening(told.append):
        model.eval_all_samples(tiny.ROWS[:2], show_progress=False)
    assert not [event for event in told if isinstance(event, Advanced)]


def test_a_sample_without_a_target_is_named(model):
    with pytest.raises(DataError, match="Sample 1 has no 'target'"):
        model.eval_all_samples([{"instruction": "a"}])
