import pytest
from curated import chat, law, row_lists, rows_of
from hypothesis import given
from hypothesis import strategies as st

from xturing.data.curation import gather_statistics
from xturing.data.curation.scripts import count_scripts
from xturing.data.curation.statistics import Lengths
from xturing.data.curation.text import words
from xturing.data.records import Conversation, Document, Message, ToolCall


@law
@given(lengths=st.lists(st.integers(0, 1000), min_size=1))
def test_percentiles_are_lengths_that_occur_in_rising_order(lengths):
    found = Lengths.of(lengths)
    ranked = [found.least, *found.percentiles.values(), found.most]
    assert ranked == sorted(ranked)
    assert set(ranked) <= set(lengths)


@law
@given(rows=row_lists)
def test_rows_add_up(rows):
    found = gather_statistics(rows)
    assert found.rows == sum(found.turns.values()) == len(rows)


@law
@given(text=st.text())
def test_every_letter_has_one_script(text):
    assert count_scripts(text).total() == sum(letter.isalpha() for letter in text)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Ärger", "Latin"),
        ("Привет", "Cyrillic"),
        ("漢字", "Han"),
        ("ひらがな", "Hiragana"),
        ("한국어", "Hangul"),
        ("नमस्ते", "Devanagari"),
        ("مرحبا", "Arabic"),
        ("ＡＢ", "Latin"),
        ("𝒙𝒚", "Common"),
    ],
)
def test_scripts_are_told_by_their_letters(text, script):
    assert set(count_scripts(text)) == {script}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("it is 3.5, or so", 6),
        ("नमस्ते दुनिया", 2),
        ("Ça va naïve", 3),
        ("漢字かな", 4),
        ("", 0),
        ("— !", 0),
    ],
)
def test_words_are_counted_in_any_script(text, count):
    assert len(words(text)) == count


def test_empty_answers_are_listed():
    rows = rows_of([chat("a", "b"), chat("a", " "), Document(" "), Document("b")])
    assert [row.row for row in gather_statistics(rows).empty_answers] == [1, 2]


def test_a_tool_call_is_no_empty_answer():
    call = Message("assistant", "", (ToolCall("f", {"x": 1}),))
    rows = rows_of([Conversation((Message("user", "a"), call))])
    assert gather_statistics(rows).empty_answers == ()


def test_long_rows_are_listed_with_their_places():
    rows = rows_of([Document("a b c"), Document("a b c d")])
    (found,) = gather_statistics(rows, long=3).long_rows
    assert (found.row, found.place) == (1, "row 2")


def test_features_are_shares_of_rows():
    asked = Message("user", "a"), Message("assistant", "b")
    call = Message("assistant", "", (ToolCall("f", {}),))
    rows = rows_of(
        [
            Conversation(asked),
            Conversation(asked * 2),
            Conversation((Message("system", "s"), *asked), tools=({"name": "f"},)),
            Conversation((asked[0], call), tools=({"name": "f"},)),
        ]
    )
    assert gather_statistics(rows).features == {
        "multi-turn": 0.25,
        "system": 0.25,
        "tools": 0.5,
        "tool calls": 0.25,
    }


def test_tokens_are_counted_only_with_a_tokenizer(tokenizer):
    rows = rows_of([chat("the quick fox", "says hello")] * 300)
    assert gather_statistics(rows).tokens is None
    ids = tokenizer("the quick fox\nsays hello")["input_ids"]
    found = gather_statistics(rows, tokenizer=tokenizer).tokens
    assert found is not None
    assert found.total == 300 * len(ids)


def test_no_rows_have_no_lengths():
    assert gather_statistics([]).words.total == 0
