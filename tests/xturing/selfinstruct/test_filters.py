import pytest

from xturing.selfinstruct.bootstrap import listed
from xturing.selfinstruct.filters import objection, tidy


@pytest.mark.parametrize(
    "text",
    [
        "Write a profile of a good teacher.",
        "Explain the mapping of sounds to letters.",
        "Describe the plotting villains of the play.",
        "Tell why imagination matters to engineers.",
    ],
)
def test_words_that_contain_a_keyword_are_taken__predecessor_fault_29(text):
    assert objection(text) is None


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        ("Draw a house with two floors.", "keyword", "draw"),
        ("Read this File and sum it up.", "keyword", "file"),
        ("Now go to the shop and list prices.", "keyword", "go to"),
        ("Name three birds.", "too short", "3 words"),
        ("word " * 151, "too long", "151 words"),
        ("Write a program that sorts a list.", "asks for a program", None),
        ('"Yes" means what in this text?', "begins with a sign", '"'),
        ("Écrire une lettre à un ami.", "begins with a letter that is not ASCII", "É"),
    ],
)
def test_a_text_that_is_not_taken_is_given_its_reason(text, reason, detail):
    found = objection(tidy(text))
    assert found[0] == reason
    assert detail in (None, found[1])


def test_a_users_words_take_the_place_of_the_usual_ones():
    assert objection("Draw a house with two floors.", ["floors"])[1] == "floors"
    assert objection("Draw a house with two floors.", []) is None


def test_names_keep_their_capitals():
    assert tidy("  explain what\n NASA does. ") == "Explain what NASA does."


@pytest.mark.parametrize(
    "text",
    [
        "9. First thing.\n10. Second thing.",
        "Here they are:\n\n9) First thing.\n\n10) Second\n    thing.",
        "**9.** First thing.\n**10.** Second thing.",
    ],
)
def test_a_numbered_list_is_read_however_it_is_written(text):
    assert listed(text) == ["First thing.", "Second thing."]


def test_numbers_inside_a_text_begin_no_item():
    assert listed("1. Add 2. 5 and 3 of them.") == ["Add 2. 5 and 3 of them."]
