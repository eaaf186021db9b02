"""A file of plain text: one document, or one a paragraph or line if asked for."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from xturing.data.sources import Entry, Options, Table
from xturing.data.sources.files import FileSource
from xturing.data.sources.text import TextFile

ENDINGS = (".txt", ".text", ".md", ".markdown")

Cut = Callable[[TextFile], Iterator[Entry]]


def text_entries(file: TextFile) -> Iterator[Entry]:
    """Yield the whole text as one row, unless it is blank."""
    text = "".join(file.pieces())
    if text and not text.isspace():
        yield {"text": text}, str(file.path)


def _paragraphs(file: TextFile) -> Iterator[Entry]:
    lines: list[str] = []
    number = 0
    for number, line in file.lines():
        if line and not line.isspace():
            lines.append(line)
        elif lines:
            yield _row(lines, file, number - len(lines))
            lines = []
    if lines:
        yield _row(lines, file, number + 1 - len(lines))


def _lines(file: TextFile) -> Iterator[Entry]:
    for number, line in file.lines():
        if line and not line.isspace():
            yield _row([line], file, number)


def _row(lines: list[str], file: TextFile, number: int) -> Entry:
    text = "\n".join(line.removesuffix("\r") for line in lines)
    return {"text": text}, f"{file.path}, line {number}"


def _table(path: Path, options: Options, cut: Cut, read_as: str) -> Table:
    file = TextFile(path, options.max_expansion)
    return Table(str(path), partial(cut, file), read_as)


Text = FileSource(
    "text", ENDINGS, partial(_table, cut=text_entries, read_as="one text")
)
Paragraphs = FileSource(
    "paragraphs", (), partial(_table, cut=_paragraphs, read_as="a text a paragraph")
)
Lines = FileSource("lines", (), partial(_table, cut=_lines, read_as="a text a line"))
