"""Reference: GSM8K's convention (Cobbe et al. 2021), read by the value of numbers."""

from decimal import Decimal

import pytest
from evaluating import made, outcomes, value
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import DataError
from xturing.eval.metrics.numeric_answer import final_number, marked_number

numbers = st.decimals(-(10**9), 10**9, allow_nan=False, places=2)


@pytest.mark.parametrize(
    "text",
    ["1000", "1,000", "1000.0", "$1,000.00", "1000.", "1,000%", "**1000**", "1e3"],
)
def test_numbers_are_compared_by_value(text):
    assert final_number(f"It is {text}") == 1000


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-5", "-5"),
        ("-$5.50", "-5.5"),
        ("$-5.50", "-5.5"),
        ("−3", "-3"),
        ("10-5", "5"),
        ("(2)-3", "3"),
        ("1, 2,3", "3"),
        ("1,00,000", "100000"),
        ("0.1", "0.1"),
        (".5", "0.5"),
        ("3.0e8", "300000000"),
        ("5 eggs", "5"),
        ("\\boxed{42}", "42"),
        ("x = 3/4", "4"),
    ],
)
def test_the_last_number_is_read_as_people_write_it(text, number):
    assert final_number(text) == Decimal(number)


@given(numbers)
def test_a_number_with_groups_of_thousands_reads_back(number):
    assert final_number(f"so {number:,}.") == number


@given(numbers, numbers)
def test_the_marked_number_goes_before_the_last_one(one, other):
    text = f"{other} + 1\n#### {one}\nThat is {other}."
    assert final_number(text) == marked_number(text) == one


def test_of_two_marked_numbers_the_last_counts():
    assert final_number("#### 4\nNo, wait.\n####5") == 5


def test_a_mark_without_a_number_is_none():
    assert final_number("It is 5.\n#### none") == 5
    assert marked_number("It is 5.\n#### none") is None


def test_tenths_are_exact():
    assert final_number("0.30000000000000004") != final_number("0.3")


@pytest.mark.parametrize("sign", ["", "-"])
def test_long_numbers_are_exact(sign):
    assert final_number(f"{sign}{10**40 + 1}") != final_number(f"{sign}{10**40}")


def test_only_the_strict_figure_asks_for_the_mark():
    rows = outcomes([("It is 18.", "9 * 2 = 18\n#### 18"), ("#### 18", "#### 18")])
    metric = made("numeric_answer", rows)
    assert value(metric, rows, "numeric_match") == 1
    assert value(metric, rows, "numeric_match_strict") == 0.5


@pytest.mark.parametrize("answer", ["", "eighteen", "####", "1 and 8"])
def test_an_answer_without_the_number_is_wrong(answer):
    rows = outcomes([(answer, "18")])
    assert value(made("numeric_answer", rows), rows) == 0


def test_a_reference_without_a_number_is_refused():
    with pytest.raises(DataError, match="line 2 has no number, but is 'ten'"):
        made("numeric_answer", outcomes([("", "1"), ("", "ten")]))
