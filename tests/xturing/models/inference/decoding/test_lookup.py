"""Guesses from what was said before."""

from hypothesis import given
from hypothesis import strategies as st

from xturing.models.inference.decoding.lookup import Lookup

ids = st.lists(st.integers(0, 3), max_size=30)


def expected(ids: list[int], most: int, longest: int) -> list[int]:
    """Return the guess by search through all that was said."""
    for length in range(longest, 1, -1):
        for start in range(len(ids) - length - 1, -1, -1):
            if ids[start : start + length] == ids[-length:]:
                return ids[start + length :][:most]
    return []


@given(ids, ids, st.integers(0, 8), st.integers(1, 4))
def test_a_guess_is_what_followed_the_longest_latest_repetition(
    prompt, answer, most, longest
):
    lookup = Lookup(prompt, longest)
    for each in answer:
        lookup.append(each)
    assert lookup.draft(most) == expected(prompt + answer, most, longest)


def test_one_token_that_is_the_same_is_no_reason_to_guess():
    assert Lookup([1, 2, 3, 1]).draft(4) == []


def test_a_text_without_repetitions_gives_no_guess():
    assert Lookup(range(8000)).draft(10) == []
