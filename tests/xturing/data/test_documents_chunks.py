"""The laws of chunking, for any text."""

from itertools import pairwise

import pytest
import regex
import tiny
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from xturing.core.errors import DataError, SettingsError
from xturing.data.documents import chunks

TOKENIZER = tiny.tokenizer()
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
WORDS = "word. |Is it? |two words |漢字。|한국어|\n\n|\n|\r\n".split("|")
DRAWN = [FAMILY, "e\u0301", "\U0001f1eb\U0001f1f7", "\u1100\u1161\u11a8"]
PROSE = st.lists(st.sampled_from(WORDS + DRAWN), max_size=60).map("".join)
TEXTS = PROSE | st.text(max_size=200)


@st.composite
def cuts(draw, largest=40):
    size = draw(st.integers(1, largest))
    return draw(TEXTS), size, draw(st.integers(0, size - 1))


def tokens(text):
    return len(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def without_overlaps(pieces):
    done, text = 0, ""
    for piece in pieces:
        text += piece.text[max(done - piece.start, 0) :]
        done = piece.end
    return text


@given(cuts())
def test_without_overlaps_the_pieces_are_the_text(cut):
    assert without_overlaps(chunks(*cut)) == cut[0]


@given(cuts())
def test_a_piece_is_where_it_says(cut):
    for piece in chunks(*cut):
        assert piece.text == cut[0][piece.start : piece.end]


@given(cuts())
def test_no_piece_is_over_the_limit(cut):
    assert all(0 < len(piece.text) <= cut[1] for piece in chunks(*cut))


@given(cuts())
def test_every_piece_starts_and_ends_after_the_one_before(cut):
    for one, other in pairwise(chunks(*cut)):
        assert one.start < other.start
        assert one.end < other.end


@given(cuts())
def test_an_overlap_is_no_longer_than_was_asked_for(cut):
    for one, other in pairwise(chunks(*cut)):
        assert 0 <= one.end - other.start <= cut[2]


@given(cuts())
def test_no_piece_begins_or_ends_inside_what_is_seen_as_one_character(cut):
    text, size, _ = cut
    drawn = regex.findall(r"\X", text)
    # Of one that is longer than a piece, nothing can be kept whole.
    assume(max(map(len, drawn), default=0) * 2 <= size)
    borders, place = {0}, 0
    for one in drawn:
        place += len(one)
        borders.add(place)
    for piece in chunks(*cut):
        assert {piece.start, piece.end} <= borders


@given(cuts(), st.sampled_from([1, 2, 3]))
def test_pieces_by_tokens_keep_the_same_laws(cut, more):
    text, size, overlap = cut
    size += 4  # bytes of the longest character
    pieces = list(chunks(text, size, overlap, unit="tokens", tokenizer=TOKENIZER))
    assert without_overlaps(pieces) == text
    assert all(tokens(piece.text) <= size for piece in pieces)
    assert all(a.start < b.start and a.end < b.end for a, b in pairwise(pieces))


def test_a_character_with_too_many_tokens_is_named():
    with pytest.raises(DataError, match="character '\U0001f469' .number 3 of the text"):
        list(chunks("a \U0001f469", 2, unit="tokens", tokenizer=TOKENIZER))


def test_a_real_tokenizer_s_limit_holds(smollm2, alpaca):
    tokenizer = AutoTokenizer.from_pretrained(smollm2.base_folder)
    text = alpaca.read_text(encoding="utf-8")[:40_000]
    pieces = list(chunks(text, 100, 20, unit="tokens", tokenizer=tokenizer))
    assert without_overlaps(pieces) == text
    counts = [len(tokenizer(piece.text)["input_ids"]) for piece in pieces]
    assert max(counts) <= 100
    assert sum(counts) / len(counts) > 75


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One two now.\n\nThree four. Five", "One two now.\n\n"),
        ("One two three. Four five six seven", "One two three. "),
        ("one two three four five six", "one two three four "),
        ("onetwothreefourfivesix seven", "onetwothreefourfives"),
        ("一二三四五六七八九十。一二三四五六七八九十。", "一二三四五六七八九十。"),
    ],
    ids=["paragraph", "sentence", "word", "anywhere", "Chinese sentence"],
)
def test_a_piece_ends_where_a_reader_would_pause(text, first):
    assert next(chunks(text, 20)).text == first


def test_an_overlap_begins_with_a_word():
    first, second = chunks("one two three four five six", 20, 8)
    assert (first.text, second.text) == ("one two three four ", "four five six")


def test_an_empty_text_has_no_pieces():
    assert list(chunks("", 5)) == []


@pytest.mark.parametrize(
    ("size", "overlap", "options", "message"),
    [
        (0, 0, {}, "Chunks of 0 characters"),
        (5, 5, {}, "overlap by 5"),
        (5, -1, {}, "overlap by -1"),
        (5, 0, {"unit": "tokens"}, "need a fast tokenizer"),
    ],
)
def test_what_cannot_be_is_refused_at_once(size, overlap, options, message):
    with pytest.raises(SettingsError, match=message):
        chunks("text", size, overlap, **options)


def test_a_long_run_without_borders_is_cut_in_time():
    for character in ("\U0001f1eb", "e\u0301", "x", " ", "\n", "."):
        text = character * 200_000
        assert without_overlaps(chunks(text, 1000, 100)) == text
