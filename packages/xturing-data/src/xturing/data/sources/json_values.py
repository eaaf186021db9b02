"""JSON values from a text that comes in pieces, one after the other.

A value is parsed when it is whole, so an array of any length takes the memory of its
longest element. Knows nothing of rows.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from xturing.core.errors import DataError
from xturing.data.json_text import DECODER, RepeatedKeyError

_SPACE = re.compile(r"[ \t\r\n]*")
_LENIENT = json.JSONDecoder()
_LONGEST_WORD = 16
"""More characters than an escape, a number's exponent or `-Infinity` takes."""


class JsonValues:
    """A place in a JSON text, and the values that follow."""

    def __init__(self, path: Path, pieces: Iterator[str]) -> None:
        self._path = path
        self._pieces = pieces
        self._text = ""
        self._at = 0
        self._line = 1
        self._column = 1

    def peek(self) -> str:
        """Return the next character that is no white space, or nothing at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def expect(self, character: str) -> None:
        """Step over the next character.

        Raises:
            DataError: it is another.
        """
        if (found := self.peek()) != character:
            what = f"'{found}' stands" if found else "the file ends"
            raise self._error(f"{what} where '{character}' should", self._at)
        self._at += 1

    def array(self) -> Iterator[object]:
        """Yield the elements of the array that follows."""
        self.expect("[")
        if self.peek() != "]":
            yield self.value()
            while self.peek() == ",":
                self._at += 1
                yield self.value()
        self.expect("]")

    def end(self, hint: str) -> None:
        """Raise `DataError` if anything follows."""
        if self.peek():
            raise self._error(f"the text goes on after its end; {hint}", self._at)

    def value(self) -> object:
        """Return the value that follows, or the `DataError` that it has a key twice.

        Raises:
            DataError: there is none, or it is not whole.
        """
        self.peek()
        decoder, repeated = DECODER, None
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._at)
            except RepeatedKeyError as error:
                # Where it ends is still wanted, to read on behind it.
                decoder = _LENIENT
                repeated = DataError(f"{self._place(self._at)}: {error}.")
            except (ValueError, RecursionError) as error:
                self._read_on(error)
            else:
                is_number = isinstance(value, int | float)
                if is_number and end == len(self._text) and self._more():
                    continue
                self._at = end
                return value if repeated is None else repeated

    def _read_on(self, error: ValueError | RecursionError) -> None:
        """Read more of a value that only seems wrong because it is cut.

        Raises:
            DataError: it is wrong.
        """
        if isinstance(error, RecursionError):
            raise self._error("it is nested too deep", self._at) from None
        if not isinstance(error, json.JSONDecodeError):
            raise self._error(str(error), self._at) from error
        problem = self._error(error.msg, error.pos)
        if not self._may_be_cut(error) or not self._more():
            raise problem from error

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        is_near = error.pos >= len(self._text) - _LONGEST_WORD
        return is_near or error.msg.startswith("Unterminated string")

    def _more(self) -> bool:
        """Read on by as much as is left at least, so that the work stays linear."""
        self._line, self._column = self._position(self._at)
        parts = [self._text[self._at :]]
        wanted = len(parts[0])
        for piece in self._pieces:
            parts.append(piece)
            wanted -= len(piece)
            if wanted <= 0:
                break
        self._text = "".join(parts)
        self._at = 0
        return len(parts) > 1

    def _position(self, at: int) -> tuple[int, int]:
        feeds = self._text.count("\n", 0, at)
        if not feeds:
            return self._line, self._column + at
        return self._line + feeds, at - self._text.rindex("\n", 0, at)

    def _place(self, at: int) -> str:
        line, column = self._position(at)
        return f"{self._path}, line {line}, column {column}"

    def _error(self, why: str, at: int) -> DataError:
        return DataError(f"{self._place(at)}: this is not JSON ({why}).")
