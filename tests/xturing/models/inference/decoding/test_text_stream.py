"""A text that is shown while it is written, held against the text as a whole."""

from collections.abc import Callable
from typing import Any

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from xturing.models.inference.decoding.text import (
    FEWEST_DECODED,
    MOST_DECODED,
    REPLACEMENT,
    TextStream,
)

SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECES = ["▁", "▁the", "▁fox", "a", "b", "ing", "é", "日", "本", "😀", ".", "'", "▁n't"]
PIECES += ["▁.", "▁'", "s", "▁s", "!", "▁▁", REPLACEMENT * 2]
TEXTS = ["👩‍👩‍👧 日本語です", "  two  spaces ", "naïve café\n\n", "don't . you ?"]
TEXTS += [REPLACEMENT]


def byte_fallback() -> Any:
    """Return a tokenizer as sentencepiece makes them, which drops a leading space."""
    vocabulary = {token: place for place, token in enumerate(SPECIAL + BYTES + PIECES)}
    backend = Tokenizer(
        models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True)
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return wrapped(backend)


def metaspace() -> Any:
    """Return one of words with likelihoods, that also tidies up spaces."""
    pieces = [(piece, -1.0) for piece in SPECIAL + PIECES]
    backend = Tokenizer(models.Unigram(pieces, 0, False))
    backend.decoder = decoders.Metaspace()
    return wrapped(backend, clean_up_tokenization_spaces=True)


def word_pieces() -> Any:
    words = [*SPECIAL, "the", "fox", "##es", ".", "'", "s", "n't", "don", "日"]
    words += [f"##{REPLACEMENT}"]
    vocabulary = {word: place for place, word in enumerate(words)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    backend.decoder = decoders.WordPiece()
    return wrapped(backend)


def wrapped(backend: Tokenizer, **options: object) -> Any:
    backend.add_special_tokens([AddedToken(token) for token in SPECIAL])
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names, **options)


MAKERS: dict[str, Callable[[], Any]] = {
    "bytes": tiny.tokenizer,
    "byte fallback": byte_fallback,
    "metaspace": metaspace,
    "word pieces": word_pieces,
}
TOKENIZERS = {name: make() for name, make in MAKERS.items()}

ways = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)


def cut(text: str, stops: list[str]) -> tuple[str, str | None]:
    """Return a text up to the earliest stop text, and which that is."""
    found = [(text.find(stop), len(stop), stop) for stop in stops if stop in text]
    if not found:
        return text, None
    start, _, stop = min(found)
    return text[:start], stop


def shown(tokenizer, ids, stops=()) -> tuple[str, str | None]:
    stream = TextStream(tokenizer, stops)
    text = "".join([stream.feed(each) for each in ids])
    return text + stream.rest(), stream.stopped


def decoded(tokenizer, ids) -> str:
    return tokenizer.decode(ids, skip_special_tokens=True)


@st.composite
def tokens(draw, tokenizer):
    """Draw tokens at random, so that bytes seldom make up a character, or a few ones
    again and again, so that they often do."""
    every = st.integers(0, len(tokenizer) + 2)
    few = draw(st.lists(every, min_size=1, max_size=6))
    one = draw(st.sampled_from([every, st.sampled_from(few)]))
    return draw(st.lists(one, max_size=3 * MOST_DECODED))


@ways
@given(data=st.data())
def test_the_parts_add_up_to_the_whole(tokenizer, data):
    ids = data.draw(tokens(tokenizer))
    assert shown(tokenizer, ids) == (decoded(tokenizer, ids), None)


@ways
@given(data=st.data())
def test_the_parts_add_up_to_the_text_before_the_earliest_stop(tokenizer, data):
    ids = data.draw(tokens(tokenizer))
    text = decoded(tokenizer, ids)
    places = st.tuples(st.integers(0, len(text)), st.integers(1, 6))
    inside = places.map(lambda place: text[place[0] : sum(place)])
    drawn = data.draw(st.lists(inside | st.text(max_size=3), max_size=4))
    stops = [stop for stop in drawn if stop]
    assert shown(tokenizer, ids, stops) == cut(text, stops)


@given(st.text(max_size=200) | st.lists(st.sampled_from(TEXTS)).map("".join))
def test_any_text_comes_out_as_it_went_in(text):
    tokenizer = TOKENIZERS["bytes"]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert shown(tokenizer, ids)[0] == decoded(tokenizer, ids)


@pytest.mark.parametrize("name", ["bytes", "byte fallback"])
def test_a_part_of_a_character_is_never_shown(name):
    tokenizer = TOKENIZERS[name]
    character = "👩"
    if name == "bytes":
        ids = tokenizer(character)["input_ids"]
    else:
        tokens = [f"<0x{byte:02X}>" for byte in character.encode()] + ["a"]
        ids = tokenizer.convert_tokens_to_ids(tokens)
    stream = TextStream(tokenizer)
    parts = [stream.feed(each) for each in ids]
    assert len(ids) > 3
    assert next(part for part in parts if part).startswith(character)


def test_a_special_token_does_not_part_the_bytes_of_a_character():
    tokenizer = TOKENIZERS["byte fallback"]
    tokens = ["<0xC3>", "</s>", "<0xA9>", "▁the"]
    ids = tokenizer.convert_tokens_to_ids(tokens)
    assert shown(tokenizer, ids)[0] == "é the"


def test_the_space_between_two_words_is_kept__sentencepiece():
    tokenizer = TOKENIZERS["byte fallback"]
    stream = TextStream(tokenizer)
    ids = tokenizer.convert_tokens_to_ids(["▁the", "▁fox"])
    assert [stream.feed(each) for each in ids] == ["the", " fox"]


def test_words_are_shown_at_once():
    tokenizer = TOKENIZERS["bytes"]
    stream = TextStream(tokenizer, ["###"])
    ids = tokenizer("the quick brown fox")["input_ids"]
    parts = [stream.feed(each) for each in ids]
    assert parts == [tokenizer.decode([each]) for each in ids]


def test_a_stop_text_across_token_borders_is_never_shown():
    tokenizer = TOKENIZERS["bytes"]
    stream = TextStream(tokenizer, ["\nUser:"])
    ids = [each for part in "hi\nUser: x" for each in tokenizer(part)["input_ids"]]
    parts = [stream.feed(each) for each in ids]
    assert ("".join(parts), stream.stopped) == ("hi", "\nUser:")


def test_what_only_began_like_a_stop_text_is_shown_after_all():
    tokenizer = TOKENIZERS["bytes"]
    stream = TextStream(tokenizer, ["ababc"])
    ids = [each for part in "abababd" for each in tokenizer(part)["input_ids"]]
    parts = [stream.feed(each) for each in ids]
    assert parts == ["", "", "", "", "ab", "", "ababd"]


def test_a_stop_text_that_only_begins_is_shown_in_the_end():
    tokenizer = TOKENIZERS["bytes"]
    ids = tokenizer("hi##")["input_ids"]
    assert shown(tokenizer, ids, ["###"]) == ("hi##", None)


def test_a_stop_text_inside_of_another_waits_for_it():
    tokenizer = TOKENIZERS["bytes"]
    for text, expected in [("xabcd", ("x", "abcd")), ("xabce", ("xa", "bc"))]:
        ids = [each for part in text for each in tokenizer(part)["input_ids"]]
        assert shown(tokenizer, ids, ["abcd", "bc"]) == expected


def test_nothing_is_shown_after_a_stop_text():
    tokenizer = TOKENIZERS["bytes"]
    stream = TextStream(tokenizer, ["stop"])
    for each in tokenizer("a stop b")["input_ids"]:
        stream.feed(each)
    assert (stream.feed(20), stream.rest()) == ("", "")


@pytest.mark.parametrize("name", ["bytes", "byte fallback"])
@pytest.mark.parametrize("kind", ["words", "broken bytes", "special tokens"])
def test_a_long_answer_is_not_decoded_again_and_again(name, kind, monkeypatch):
    tokenizer = TOKENIZERS[name]
    broken = {"bytes": "ÿ", "byte fallback": "<0xFF>"}[name]
    end = tokenizer.eos_token
    token = {"words": "a", "broken bytes": broken, "special tokens": end}[kind]
    first, each = tokenizer.convert_tokens_to_ids(["a", token])
    counts = []
    decode = tokenizer.decode

    def counted(ids, **options):
        counts.append(len(ids))
        return decode(ids, **options)

    monkeypatch.setattr(tokenizer, "decode", counted)
    stream = TextStream(tokenizer)
    length = 2000
    for token_id in [first] * FEWEST_DECODED + [each] * length:
        stream.feed(token_id)
    stream.rest()
    assert sum(counts) <= length * (MOST_DECODED + FEWEST_DECODED)


@pytest.mark.slow
@given(data=st.data())
def test_the_parts_of_a_real_text_add_up__smollm2(smollm2, data):
    tokenizer = smollm2.engine.tokenizer
    text = data.draw(st.lists(st.sampled_from(TEXTS) | st.text(max_size=20)))
    ids = tokenizer("".join(text))["input_ids"] + data.draw(tokens(tokenizer))
    assert shown(tokenizer, ids) == (decoded(tokenizer, ids), None)
