"""Reference: Python's `re`."""

import re

import pytest
from evaluating import made, outcome, outcomes, value
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import SettingsError


@given(st.text("ab1 \n", max_size=6))
def test_an_answer_contains_or_matches_a_pattern_as_in_python(answer):
    rows = [outcome(answer)]
    for must, find in (("contain", re.search), ("match", re.fullmatch)):
        metric = made("regex", rows, pattern=r"a\d|b+", must=must)
        assert value(metric, rows) == bool(find(r"a\d|b+", answer))


def test_the_figure_is_a_share_of_rows():
    rows = outcomes([("yes", ""), ("no", ""), ("", ""), ("yes, sir", "")])
    assert value(made("regex", rows, pattern="^yes"), rows) == 0.5


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(
        SettingsError, match=r"'\(' .*no regular expression.*position 0"
    ):
        made("regex", [], pattern="(")
