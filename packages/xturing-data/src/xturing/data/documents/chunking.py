"""A text in pieces of a bounded size, cut where a reader would.

A piece ends after a paragraph, else a sentence, else a word, if there is such a place
in its later half; else anywhere but inside what is seen as one character.
"""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from xturing.core.errors import DataError, SettingsError
from xturing.data.chat import Tokenizer

PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
SENTENCE = re.compile(r"""[.!?…]["'”’»)\]]*\s+|[。！？]["”’」』）]*\s*""")
LINE = re.compile(r"\n\s*")
WORD = re.compile(r"\s+")
BORDERS = (PARAGRAPH, SENTENCE, LINE, WORD)
"""What a piece had better end with, the best first."""
JOINER = "\u200d"
MOST_FLAGS = 64


@dataclass(frozen=True)
class Chunk:
    """A piece of a text, and the characters where it starts and ends."""

    text: str
    start: int
    end: int


def chunks(
    text: str,
    size: int,
    overlap: int = 0,
    *,
    unit: Literal["characters", "tokens"] = "characters",
    tokenizer: Tokenizer | None = None,
) -> Iterator[Chunk]:
    """Return pieces of at most `size`, each beginning with up to `overlap` of the last.

    Without their overlaps the pieces are the text. Tokens are those of a piece
    tokenized by itself, without the ones that a tokenizer puts around a text.

    Raises:
        SettingsError: size and overlap do not go together, or the tokenizer is missing.
        DataError: a single character takes more tokens than `size`.
    """
    if not 0 <= overlap < size:
        raise SettingsError(
            f"Chunks of {size} {unit} cannot overlap by {overlap}: size must be 1 or "
            "more, and overlap less than it."
        )
    if unit == "characters":
        return _cut(text, _Characters(text, size, overlap))
    if tokenizer is None or not tokenizer.is_fast:
        raise SettingsError(
            "Chunks by tokens need a fast tokenizer (tokenizer=…), which tells where "
            "in the text its tokens stand."
        )
    return _cut(text, _Tokens(text, size, overlap, tokenizer))


class _Ruler(Protocol):
    """A way to measure parts of a text."""

    def reach(self, start: int) -> int:
        """Return the last place where a piece from `start` might end."""
        ...

    def shorter(self, start: int, end: int) -> int:
        """Return `end` if the piece is not too long, else where it might end."""
        ...

    def back(self, start: int, end: int) -> int:
        """Return the first place where the piece after this one may start."""
        ...


class _Characters:
    def __init__(self, text: str, size: int, overlap: int) -> None:
        self._length, self._size, self._overlap = len(text), size, overlap

    def reach(self, start: int) -> int:
        return min(start + self._size, self._length)

    def shorter(self, start: int, end: int) -> int:
        return end

    def back(self, start: int, end: int) -> int:
        return end - self._overlap


class _Tokens:
    def __init__(
        self, text: str, size: int, overlap: int, tokenizer: Tokenizer
    ) -> None:
        self._text, self._size, self._overlap = text, size, overlap
        self._tokenizer = tokenizer
        self._starts = self._tokenize(text)

    def reach(self, start: int) -> int:
        last = bisect_left(self._starts, start) + self._size
        if last >= len(self._starts):
            return len(self._text)
        return max(self._starts[last], start + 1)

    def shorter(self, start: int, end: int) -> int:
        # Cut out of the text, a piece may have other tokens than inside it.
        count = len(self._tokenize(self._text[start:end]))
        if count <= self._size:
            return end
        return min(start + (end - start) * self._size // count, end - 1)

    def back(self, start: int, end: int) -> int:
        if not self._overlap:
            return end
        starts = self._tokenize(self._text[start:end])
        return start + starts[-self._overlap] if self._overlap < len(starts) else start

    def _tokenize(self, text: str) -> list[int]:
        """Return where each token starts."""
        encoding: Any = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        return [start for start, _ in encoding["offset_mapping"]]


def _cut(text: str, ruler: _Ruler) -> Iterator[Chunk]:
    start = done = 0
    while done < len(text):
        end = _end(text, ruler, start, done)
        if end is None and start < done:
            # There is no room for anything new after the overlap.
            start = done
            continue
        if end is None:
            raise DataError(
                f"The character {text[start]!r} (number {start + 1} of the text) has "
                "more tokens than a chunk may have; give a larger size."
            )
        yield Chunk(text[start:end], start, end)
        start, done = _start(text, ruler.back(start, end), start, end), end


def _end(text: str, ruler: _Ruler, start: int, done: int) -> int | None:
    """Return where a piece from `start` ends, after `done`; None if it cannot."""
    limit = ruler.reach(start)
    while limit > done:
        end = _border_before(text, max(done, (start + limit) // 2), done, limit)
        limit = ruler.shorter(start, end)
        if limit == end:
            return end
        if end > done + 1:
            limit = max(limit, done + 1)
    return None


def _border_before(text: str, half: int, done: int, limit: int) -> int:
    """Return the best place to end in (half, limit], or else in (done, limit]."""
    if limit == len(text):
        return limit
    for pattern in BORDERS:
        ends = [found.end() for found in pattern.finditer(text, half, limit)]
        # What ends at the limit may be one half of a longer gap, which does no harm.
        ends = [end for end in ends if end > half and not _is_inside(text, end)]
        if ends:
            return ends[-1]
    whole = (end for end in range(limit, done, -1) if not _is_inside(text, end))
    return next(whole, limit)


def _start(text: str, earliest: int, last: int, end: int) -> int:
    """Return where to start anew: at a sentence, say, if one starts soon enough."""
    earliest = max(earliest, last + 1)
    soon = (earliest + end) // 2
    for pattern in BORDERS:
        # What ends before the place may begin before the first that is allowed.
        for found in pattern.finditer(text, max(earliest - 2, 0), soon):
            if found.end() >= earliest and not _is_inside(text, found.end()):
                return found.end()
    whole = (place for place in range(earliest, end) if not _is_inside(text, place))
    return next(whole, end)


def _is_inside(text: str, place: int) -> bool:
    """Tell whether a place is inside what is seen as one character."""
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if before.isascii() and after.isascii():
        return before == "\r" and after == "\n"
    if _is_flag(before) and _is_flag(after):
        return _flags_before(text, place) % 2 == 1
    return (
        before == JOINER
        or _extends(after)
        or ("\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff")
        or "\u1100" <= before <= "\u115f"  # the first part of a Korean syllable
        or "\u1160" <= after <= "\u11ff"  # and those that follow
        or "\ud7b0" <= after <= "\ud7ff"
    )


def _extends(character: str) -> bool:
    """Tell whether a character is drawn onto the one before it."""
    return (
        unicodedata.category(character) in {"Mn", "Me", "Mc"}
        or character == JOINER
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or "\U000e0020" <= character <= "\U000e007f"  # tags, in some flags
    )


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _flags_before(text: str, place: int) -> int:
    """Count the letters of flags that end at a place; of a very long run, some."""
    first = place
    while first > max(place - MOST_FLAGS, 0) and _is_flag(text[first - 1]):
        first -= 1
    return place - first
