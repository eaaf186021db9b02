"""Tokens of a text put together from those of its words, each tokenized only once.

Byte-level tokenizers of the BPE kind cut a text at their added tokens, what is between
them into words by a regular expression, and tokenize each word by itself. A text has
few words that no earlier one had, so nearly all of its tokens are looked up, in a third
of the time that the tokenizer takes. What a word's tokens are, it alone says.

Words are cut here as the tokenizer would only in ASCII, where its expressions cannot be
read in two ways; what else there is goes to the tokenizer as it is.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain, pairwise
from types import MappingProxyType
from typing import Any

WORDS_KEPT = 2**18
"""Most words that are remembered."""
LONGEST_WORD = 40
"""Characters of the longest word that is worth remembering."""

_SPACE = r" \t\n\x0b\f\r"
_CONTRACTED = "'(?:s|t|re|ve|m|ll|d)"
_REST = rf" ?[^{_SPACE}A-Za-z0-9]+"
_SPACES = rf"[{_SPACE}]+(?![^{_SPACE}])|[{_SPACE}]+"
_GPT2 = rf"{_CONTRACTED}| ?[A-Za-z]+| ?[0-9]+|{_REST}|{_SPACES}"
_DIGIT_BY_DIGIT = (
    rf"{_CONTRACTED}| ?[A-Za-z]+|[0-9]|{_REST}|[{_SPACE}]+(?=[0-9])|{_SPACES}"
)
_GPT4 = (
    rf"(?i:{_CONTRACTED})|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{{DIGITS}}|"
    rf"{_REST}[\r\n]*|[{_SPACE}]*[\r\n]+|{_SPACES}"
)
_PUBLISHED_GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| "
    r"?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BYTES: Mapping[str, Any] = MappingProxyType(
    {"type": "ByteLevel", "add_prefix_space": False}
)


def _split_by(published: str) -> dict[str, Any]:
    splitting = {"type": "Split", "pattern": {"Regex": published}}
    splitting |= {"behavior": "Isolated", "invert": False}
    return {
        "type": "Sequence",
        "pretokenizers": [splitting, {**_BYTES, "use_regex": False}],
    }


_PIPELINES: Sequence[tuple[Mapping[str, Any], str]] = (
    ({**_BYTES, "use_regex": True}, _GPT2),
    (
        {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {**_BYTES, "use_regex": True},
            ],
        },
        _DIGIT_BY_DIGIT,
    ),
    *(
        (
            _split_by(_PUBLISHED_GPT4.replace("DIGITS", digits)),
            _GPT4.replace("{DIGITS}", digits),
        )
        for digits in ("", "{1,3}")
    ),
)
"""How tokenizers cut texts into words, and the same in ASCII."""

Read = Callable[[list[str]], Sequence[Any]]


class Spelling:
    """The tokens of one text, as an `Encoding` of the tokenizers library has them."""

    def __init__(self, words: Sequence[str], known: "Words") -> None:
        self._words = words
        self._known = known
        self.ids = list(chain.from_iterable(map(known.ids.__getitem__, words)))

    @property
    def offsets(self) -> Iterator[tuple[int, int]]:
        """Start and end of each token."""
        return pairwise((0, *self._ends))

    def char_to_token(self, character: int) -> int | None:
        """Return the token that a character is in."""
        token = bisect_right(self._ends, character)
        return token if token < len(self.ids) else None

    def token_to_chars(self, token: int) -> tuple[int, int]:
        """Return where a token starts and ends."""
        return self._ends[token - 1] if token else 0, self._ends[token]

    @cached_property
    def _ends(self) -> list[int]:
        sizes = map(self._known.sizes.__getitem__, self._words)
        return list(accumulate(chain.from_iterable(sizes)))


class Words:
    """What a tokenizer makes of each word."""

    def __init__(self) -> None:
        self.ids: dict[str, tuple[int, ...]] = {}
        self.sizes: dict[str, tuple[int, ...]] = {}
        """Characters of each token."""

    def __len__(self) -> int:
        return len(self.ids)

    def learn(self, words: list[str], read: Read) -> None:
        """Have words tokenized."""
        for word, encoding in zip(words, read(words), strict=True):
            self.ids[word] = tuple(encoding.ids)
            self.sizes[word] = tuple(end - start for start, end in encoding.offsets)


class Speller:
    """Texts to tokens by way of words; `read` is the tokenizer itself."""

    def __init__(self, word: str, added: Sequence[str], read: Read) -> None:
        self._cut = re.compile(word).findall
        # Where several added tokens could begin, a tokenizer takes the longest.
        longest_first = sorted(added, key=len, reverse=True)
        self._parts = re.compile(f"({'|'.join(map(re.escape, longest_first))})").split
        self._has_added = bool(added)
        self._read = read
        self._known = Words()

    def read(self, texts: Sequence[str]) -> list[Spelling | None]:
        """Return the tokens of each text, None where only the tokenizer can tell."""
        words = [self._words(text) if text.isascii() else None for text in texts]
        known = self._knowing(set(chain.from_iterable(filter(None, words))))
        return [None if found is None else Spelling(found, known) for found in words]

    def _words(self, text: str) -> list[str] | None:
        parts = self._parts(text) if self._has_added else [text]
        words: list[str] = []
        for index, part in enumerate(parts):
            if index % 2:
                words.append(part)
            else:
                words += self._cut(part)
        if max(map(len, words), default=0) > LONGEST_WORD:
            return None
        return words

    def _knowing(self, words: set[str]) -> Words:
        if len(self._known) > WORDS_KEPT:
            # Texts that were read before keep what they know.
            self._known = Words()
        new = list(words - self._known.ids.keys())
        if new:
            self._known.learn(new, self._read)
        return self._known


def speller(tokenizer: Any, read: Read) -> Speller | None:
    """Return a speller that agrees with the tokenizer, None where there is none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or type(backend.model).__name__ != "BPE":
        return None
    added = list(tokenizer.added_tokens_decoder.values())
    is_plain = (
        backend.normalizer is None
        and backend.model.dropout is None
        and not getattr(tokenizer, "split_special_tokens", False)
        and not any(t.lstrip or t.rstrip or t.single_word for t in added)
    )
    word = _word_pattern(backend.pre_tokenizer) if is_plain else None
    # Some leave the space before a word out of its offsets.
    if word is None or read([" x"])[0].offsets[0][0] != 0:
        return None
    return Speller(word, [token.content for token in added], read)


def _word_pattern(pre_tokenizer: Any) -> str | None:
    if pre_tokenizer is None:
        return None
    # A text's offsets are trimmed by what comes later, or not at all.
    found = json.loads(
        pre_tokenizer.__getstate__(),
        object_hook=lambda part: {k: v for k, v in part.items() if k != "trim_offsets"},
    )
    for pipeline, word in _PIPELINES:
        if found == pipeline:
            return word
    return None
