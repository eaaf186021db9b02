"""Texts put together from words have the tokens that the tokenizer gives them."""

from functools import cache

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from xturing.data import spelling
from xturing.data.spelling import speller

WHOLE = pre_tokenizers.ByteLevel(add_prefix_space=False)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| "
    r"?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split_by(pattern):
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), BYTES]
    )


CUTS = {
    "GPT-2": WHOLE,
    "SmolLM2": pre_tokenizers.Sequence([pre_tokenizers.Digits(True), WHOLE]),
    "Qwen": split_by(GPT4 % ""),
    "Llama 3": split_by(GPT4 % "{1,3}"),
}
ENDS = ("<|end|>", "<|end|>!")
TEXTS = [
    "I'll say it's 12,345 or 3.14159!\n\n  Don't   you?\r\n",
    "def f(x):\n    return x  # 100%\n\n\nclass A:\tpass ",
    "WE'RE HERE 'S 'lls ''s 007\x0b\x0c\x1c\x1d\x7f~~ ok",
]


@cache
def tokenizer(name):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = CUTS[name]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(ENDS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(TEXTS * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>")


def read_by(own):
    return lambda texts: own(texts, add_special_tokens=False).encodings


def spelled(own, texts):
    found = speller(own, read_by(own))
    assert found is not None
    return found.read(texts)


pieces = st.sampled_from(["'s", "'RE", " ", "  ", "\n", "\r\n", "\t", "12", *ENDS])
ascii_texts = st.lists(
    pieces | st.text(st.characters(max_codepoint=127), max_size=8), max_size=8
).map("".join)


@pytest.mark.parametrize("name", CUTS)
@given(text=ascii_texts)
def test_a_text_has_the_tokens_that_the_tokenizer_gives_it(name, text):
    own = tokenizer(name)
    (expected,) = read_by(own)([text])
    (found,) = spelled(own, [text])
    assert found.ids == expected.ids
    assert list(found.offsets) == expected.offsets


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("text", TEXTS)
def test_characters_are_found_where_the_tokenizer_finds_them(name, text):
    own = tokenizer(name)
    (expected,) = read_by(own)([text])
    (found,) = spelled(own, [text])
    for character in range(len(text) + 1):
        assert found.char_to_token(character) == expected.char_to_token(character)
    for token in range(len(expected.ids)):
        assert found.token_to_chars(token) == expected.token_to_chars(token)


def test_what_is_no_ascii_is_left_to_the_tokenizer():
    found = spelled(tokenizer("GPT-2"), ["plain", "naïve", "x" * 1000])
    assert [each is None for each in found] == [False, True, True]


def test_no_word_is_tokenized_twice():
    own = tokenizer("GPT-2")
    asked = []

    def read(texts):
        asked.extend(texts)
        return read_by(own)(texts)

    found = speller(own, read)
    assert found is not None
    found.read(["the fox and the fox", "a fox"])
    found.read(["a fox"])
    assert len(set(asked)) == len(asked)


def test_texts_keep_their_tokens_when_words_are_forgotten(monkeypatch):
    monkeypatch.setattr(spelling, "WORDS_KEPT", 1)
    own = tokenizer("GPT-2")
    found = speller(own, read_by(own))
    assert found is not None
    (before,) = found.read(["it is so"])
    found.read(["not here"])
    assert list(before.offsets) == read_by(own)(["it is so"])[0].offsets


def changed(**parts):
    own = tokenizer("GPT-2")
    backend = Tokenizer.from_str(own.backend_tokenizer.to_str())
    for name, value in parts.items():
        setattr(backend, name, value)
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@pytest.mark.parametrize(
    "own",
    [
        lambda: changed(normalizer=normalizers.Lowercase()),
        lambda: changed(pre_tokenizer=pre_tokenizers.Metaspace()),
        lambda: changed(pre_tokenizer=pre_tokenizers.ByteLevel()),
        lambda: changed(model=models.BPE({"a": 0}, [], dropout=0.1)),
        lambda: changed(model=models.WordLevel({"a": 0}, unk_token="a")),
    ],
    ids=["normalizer", "metaspace", "prefix space", "dropout", "no BPE"],
)
def test_a_tokenizer_of_another_kind_tokenizes_itself(own):
    assert speller(own(), read_by) is None


def test_a_token_that_takes_spaces_in_is_left_to_the_tokenizer():
    own = changed()
    own.add_tokens([AddedToken("<pad>", lstrip=True)])
    assert speller(own, read_by) is None


def test_the_tiny_tokenizer_is_spelled():
    own = tiny.tokenizer()
    assert speller(own, read_by(own)) is not None
