"""Metrics by name, with options as users write them."""

import pytest
from evaluating import outcome, question

from xturing.core.errors import DataError, SettingsError, UnknownNameError
from xturing.eval.metrics import opened, share

WITH_REFERENCE = "bleu chrf embedding_similarity exact_match json_fields labels".split()
WITH_REFERENCE += ["numeric_answer", "rouge", "token_f1"]


def test_a_wrong_name_is_answered_with_the_nearest_ones():
    with pytest.raises(UnknownNameError, match="no metric 'rogue'.*'rouge'"):
        opened("rogue", [], {})


def test_a_wrong_option_is_answered_with_the_nearest_ones():
    with pytest.raises(SettingsError, match="no option 'normalize'.*'normalise'"):
        opened("exact_match", [], {"normalize": "squad"})


def test_a_value_that_an_option_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(SettingsError, match="'must'.*'regex' is 'be'.*'match'"):
        opened("regex", [], {"pattern": "x", "must": "be"})


def test_a_missing_option_is_named():
    with pytest.raises(SettingsError, match="'regex' needs the option 'pattern'"):
        opened("regex", [], {})


def test_a_value_of_yaml_is_read_as_its_option_has_it():
    metric = opened("pass_at_k", [], {"checker": ["true"], "k": [5, 1]})
    assert [figure.name for figure in metric.figures] == ["pass_at_1", "pass_at_5"]


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_a_missing_reference_is_named_with_its_place(name):
    asked = question(None, place="rows.jsonl, line 7")
    with pytest.raises(DataError, match=f"line 7 has no reference.*'{name}'.*column"):
        opened(name, [asked], {})


@pytest.mark.parametrize("name", ["repetition", "self_stopping"])
def test_answers_can_be_measured_without_references(name):
    assert opened(name, [question(None)], {}).measure(outcome("a b c"))


def test_the_figure_of_a_share_knows_its_hits():
    assert share("second", 2).hit == 2
