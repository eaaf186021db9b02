"""Reference: equality as JSON has it (RFC 8259), which is not quite Python's."""

import json

import pytest
from evaluating import made, outcomes, value
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import DataError
from xturing.eval.metrics.json_fields import is_same, json_object

scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)
values = st.recursive(
    scalars,
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(st.text("ab", max_size=1), each, max_size=3)
    ),
)
objects = st.dictionaries(st.text("abc", max_size=2), values, min_size=1, max_size=4)


def figures(answer: str, reference: str) -> tuple[float, float, float]:
    rows = outcomes([(answer, reference)])
    metric = made("json_fields", rows)
    names = "json_match", "valid_json", "field_accuracy"
    match, valid, fields = (value(metric, rows, name) for name in names)
    return match, valid, fields


@given(objects)
def test_an_object_equals_itself_however_it_is_written(wanted):
    backwards = dict(reversed(wanted.items()))
    assert figures(json.dumps(backwards, indent=3), json.dumps(wanted)) == (1, 1, 1)


@given(values, values)
def test_values_are_the_same_if_they_are_written_the_same(one, other):
    written = (json.dumps(each, sort_keys=True) for each in (one, other))
    assert is_same(one, other) == (len(set(written)) == 1)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ('{"a": 1, "b": 2.0}', (1, 1, 1)),
        ('{"a": 1}', (0, 1, 0.5)),
        ('{"a": 1, "b": 2, "c": 3}', (0, 1, 1)),
        ('{"a": true, "b": "2"}', (0, 1, 0)),
        ("{}", (0, 1, 0)),
        ("[1, 2]", (0, 0, 0)),
        ("", (0, 0, 0)),
        ('Here it is: {"a": 1, "b": 2}', (0, 0, 0)),
        ('{"a": 1, "a": 1, "b": 2}', (0, 0, 0)),
        ('{"a": NaN, "b": 2}', (0, 0, 0)),
        ("[" * 100_000, (0, 0, 0)),
        ('{"a": ' + "9" * 5000 + "}", (0, 0, 0)),
    ],
)
def test_an_answer_is_worth_the_fields_it_has_right(answer, found):
    assert figures(answer, '{"b": 2, "a": 1}') == found


def test_fields_count_the_same_whichever_row_they_are_of():
    rows = outcomes([('{"a": 1}', '{"a": 1}'), ("{}", '{"a": 1, "b": 2, "c": 3}')])
    assert value(made("json_fields", rows), rows, "field_accuracy") == 0.25


def test_a_reference_that_is_no_object_is_refused():
    with pytest.raises(DataError, match="line 2 is not a JSON object.*no object"):
        made("json_fields", outcomes([("", "{}"), ("", "[1]")]))


def test_what_is_wrong_with_json_is_said():
    with pytest.raises(ValueError, match="twice"):
        json_object('{"a": 1, "a": 2}')
