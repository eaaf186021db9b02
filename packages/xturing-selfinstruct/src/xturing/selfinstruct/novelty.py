"""Whether a text says something new, judged by ROUGE-L against all texts before it.

Scores and decisions are those of the package rouge-score without its stemmer: tokens
are runs of ASCII letters and digits, so that a text which has none is like no other.
Knows nothing of instructions and models.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from xturing.core.errors import SettingsError
from xturing.selfinstruct.candidates import Bounds, Index, occurrences_of

UNKNOWN = 0
"""Stands for every token that no kept text has."""
FIRST_NUMBER = 1
"""Of the numbers that tokens get in the order in which they come."""
SURROGATES = range(0xD800, 0xE000)
"""Numbers that are no characters."""

_TOKEN = re.compile("[a-z0-9]+")

Spelt = str | list[int]


@dataclass(frozen=True)
class Match:
    """A kept text that is too much like another one."""

    text: str
    score: float
    """ROUGE-L F1 of the two."""


class NoveltyFilter:
    """Keeps texts, and finds those that a text is too much like.

    A text is too much like another if their ROUGE-L F1 is above `threshold`.

    Raises:
        SettingsError: the threshold is not between 0 and 1.
    """

    def __init__(self, threshold: float = 0.7) -> None:
        if not 0 <= threshold <= 1:
            raise SettingsError(
                f"The threshold is {threshold}, but an F1 is between 0 and 1. "
                "Self-Instruct takes 0.7."
            )
        self.threshold = threshold
        self._texts: list[str] = []
        self._spelt: list[Spelt] = []
        self._numbers: dict[str, int] = {}
        self._index = Index(Bounds(threshold))

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def texts(self) -> Sequence[str]:
        """The kept texts, in the order in which they were added."""
        return self._texts

    def add(self, text: str) -> None:
        """Keep a text, whether it is new or not."""
        numbers = [self._number(token) for token in tokens(text)]
        self._texts.append(text)
        self._spelt.append(_spelt(numbers))
        self._index.add(occurrences_of(numbers))

    def closest(self, text: str) -> Match | None:
        """Return the kept text that is most like this one; None if this one is new.

        Of several that are equally like it, the earliest is returned.
        """
        numbers = self._known(text)
        candidates = self._index.candidates(occurrences_of(numbers))
        if not candidates:
            return None
        scores = _scores(_spelt(numbers), [self._spelt[at] for at in candidates])
        best = int(scores.argmax())
        score = float(scores[best])
        if score > self.threshold:
            return Match(self._texts[candidates[best]], score)
        return None

    def similarities(self, text: str) -> NDArray[np.float64]:
        """Return the ROUGE-L F1 with each kept text, in the order of `texts`."""
        return _scores(_spelt(self._known(text)), self._spelt)

    def _known(self, text: str) -> list[int]:
        return [self._numbers.get(token, UNKNOWN) for token in tokens(text)]

    def _number(self, token: str) -> int:
        number = self._numbers.get(token)
        if number is None:
            number = len(self._numbers) + FIRST_NUMBER
            if number >= SURROGATES.start:
                number += len(SURROGATES)
            self._numbers[token] = number
        return number


def tokens(text: str) -> list[str]:
    """Return what ROUGE takes for the words of a text."""
    return _TOKEN.findall(text.lower())


def _spelt(numbers: list[int]) -> Spelt:
    """Return numbers as a word of one character each: such are compared fastest.

    Past the last character there is, numbers stay numbers; both compare alike.
    """
    try:
        return "".join(map(chr, numbers))
    except ValueError:
        return numbers


def _scores(own: Spelt, others: Sequence[Spelt]) -> NDArray[np.float64]:
    """Return F1 by the operations of rouge-score in their order: rounding counts."""
    if not others:
        return np.zeros(0)
    common = cdist([own], others, scorer=LCSseq.similarity, dtype=np.int32)[0]
    lengths = np.fromiter(map(len, others), np.int64, len(others))
    # Where there are no tokens there are none in common either.
    precision = common / np.maximum(lengths, 1)
    recall = common / max(len(own), 1)
    both = precision + recall
    products = 2 * precision * recall
    return np.divide(products, both, out=np.zeros(len(others)), where=both > 0)
