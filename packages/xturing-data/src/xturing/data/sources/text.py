"""Files of text as pieces or lines, in UTF-8 or in the UTF-16 that says so itself."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xturing.core.errors import DataError
from xturing.data.sources.unpacking import read_bytes

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


@dataclass(frozen=True)
class TextFile:
    """A file of text, packed or not, that is never held as a whole.

    Raises:
        DataError: when it is read and is no text; the message has file, line and byte.
    """

    path: Path
    max_expansion: int

    def pieces(self) -> Iterator[str]:
        """Yield the text piece by piece, without its byte order mark."""
        reader: _Decoder | None = None
        for data in read_bytes(self.path, self.max_expansion):
            mark = b""
            if reader is None:
                mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
                reader = _Decoder(self.path, _MARKS.get(mark, "utf-8"), len(mark))
            yield from reader.text(data[len(mark) :] if mark else data)
        if reader is not None:
            yield from reader.text(b"", is_last=True)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the text of each line, without its line feed."""
        number = 1
        parts: list[str] = []
        for piece in self.pieces():
            first, *others = piece.split("\n")
            parts.append(first)
            for start in others:
                yield number, "".join(parts)
                number += 1
                parts = [start]
        if last := "".join(parts):
            yield number, last

    def start(self, characters: int) -> tuple[str, bool]:
        """Return that many characters or more, if there are, and whether it is all."""
        text = ""
        try:
            for piece in self.pieces():
                if len(text) >= characters:
                    return text, False
                text += piece
        except DataError:
            # What is good before it is for those who read row by row.
            if not text:
                raise
            return text, False
        return text, True


class _Decoder:
    """Turns bytes to text, and knows where in the file it is."""

    def __init__(self, path: Path, encoding: str, offset: int) -> None:
        self._path = path
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._offset = offset
        self._line = 1

    def text(self, data: bytes, *, is_last: bool = False) -> Iterator[str]:
        """Yield the text of the next bytes; what is good comes before any error."""
        size = len(self._decoder.getstate()[0]) + len(data)
        try:
            text = self._decoder.decode(data, is_last)
        except UnicodeDecodeError as error:
            good = error.object[: error.start].decode(self._encoding)
            yield from self._checked(good)
            offset = self._offset + error.start
            line = self._line + good.count("\n")
            raise self._error(offset, line, f"0x{error.object[error.start]:02x}") from (
                error
            )
        yield from self._checked(text)
        self._offset += size - len(self._decoder.getstate()[0])
        self._line += text.count("\n")

    def _checked(self, text: str) -> Iterator[str]:
        until = text.find("\0")
        if until == -1:
            if text:
                yield text
            return
        good = text[:until]
        yield good
        offset = self._offset + len(good.encode(self._encoding))
        raise self._error(offset, self._line + good.count("\n"), "zero")

    def _error(self, offset: int, line: int, found: str) -> DataError:
        return DataError(
            f"{self._path}, line {line}: this is not UTF-8 text (byte {offset} of the "
            f"file is {found}). Save it as UTF-8; UTF-16 needs its byte order mark."
        )
