"""Plain text and Markdown, as it stands; and how bytes are taken for text."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from xturing.data.documents import TextPart, UnreadableError

# The longer marks come first: UTF-32's begins like UTF-16's.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read(path: Path) -> Iterator[TextPart]:
    """Yield the file as one part."""
    yield TextPart("", decode(path.read_bytes()))


def decode(data: bytes, declared: str = "utf-8") -> str:
    """Return bytes as text in the encoding of their byte order mark, or the declared.

    Raises:
        UnreadableError: they are not in that encoding, or hold NUL bytes.
    """
    encoding = next((MARKS[mark] for mark in MARKS if data.startswith(mark)), declared)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError(
            f"is not {encoding} text (byte {error.start} is "
            f"0x{data[error.start]:02x}); save it as UTF-8"
        ) from error
    if "\0" in text:
        raise UnreadableError("holds NUL bytes, so it is no text")
    return text
