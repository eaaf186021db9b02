"""HTML as text: headings as in Markdown, a line a block, no scripts and menus."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xturing.core.extras import require
from xturing.data.documents import TextPart
from xturing.data.documents.tables import table_text
from xturing.data.documents.text_file import decode

DROPPED = frozenset("nav noscript script style svg template".split())
CELLS = frozenset({"td", "th"})
MARKS = {"li": "- ", **{f"h{level}": "#" * level + " " for level in range(1, 7)}}
"""What a line begins with, as in Markdown."""
APART = frozenset("blockquote dl h1 h2 h3 h4 h5 h6 hr ol p pre table ul".split())
"""Blocks with an empty line around them."""
LINES = APART | frozenset(
    "address article aside body br caption dd details div dt fieldset figcaption "
    "figure footer form head header html legend li main option section summary "
    "tr".split()
)
DECLARED = re.compile(rb"""charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
HEAD_BYTES = 4096
"""Where a page declares its encoding, if it does."""


def read(path: Path) -> Iterator[TextPart]:
    """Yield the page as one part."""
    yield TextPart("", html_text(decode_html(path.read_bytes())))


def decode_html(data: bytes) -> str:
    """Return a page's markup, in the encoding that it declares or UTF-8."""
    declared = DECLARED.search(data[:HEAD_BYTES])
    name = declared[1].decode("ascii") if declared else "utf-8"
    try:
        codecs.lookup(name)
    except LookupError:
        name = "utf-8"
    return decode(data, name)


def html_text(markup: str) -> str:
    """Return what a page says."""
    if not markup.strip():
        return ""
    etree = require("lxml.etree", package="xturing-data", extra="documents")
    # The standard library's parser takes hours for some small files.
    parser = etree.HTMLParser(
        target=_Page(), encoding="utf-8", no_network=True, huge_tree=True
    )
    parser.feed(markup.encode("utf-8", "replace"))
    return parser.close()


class _Page:
    """The text of a page, gathered while a parser of lxml tells what it finds."""

    def __init__(self) -> None:
        self._done: list[str] = []
        self._line: list[str] = []
        self._mark = ""
        self._title: list[str] = []
        self._cells: list[str] | None = None
        self._dropping: list[str] = []
        self._has_heading = False
        self._is_title = False
        self._is_verbatim = False

    def start(self, tag: str, attributes: Any) -> None:
        """Begin what the tag stands for."""
        if tag in DROPPED:
            self._dropping.append(tag)
        elif self._dropping:
            return
        elif tag == "title":
            self._is_title = True
        elif tag in CELLS:
            self._end_cell()
        elif tag in LINES:
            self._break(tag)
            self._is_verbatim = self._is_verbatim or tag == "pre"
            self._mark = MARKS.get(tag, "")
            if tag == "tr":
                self._cells = []

    def end(self, tag: str) -> None:
        """End what the tag stands for."""
        if tag in self._dropping:
            # An inner tag that was left open ends with the outer one.
            del self._dropping[self._dropping.index(tag) :]
        elif self._dropping:
            return
        elif tag == "title":
            self._is_title = False
        elif tag in LINES:
            self._break(tag)
            self._has_heading = self._has_heading or tag == "h1"
            self._is_verbatim = self._is_verbatim and tag != "pre"

    def data(self, data: str) -> None:
        """Gather words."""
        if self._dropping:
            return
        if self._is_title:
            self._title.append(data)
        elif self._is_verbatim and self._cells is None:
            first, *others = data.split("\n")
            self._line.append(first)
            for line in others:
                self._done.append("".join(self._line).rstrip())
                self._line = [line]
        else:
            self._line.append(re.sub(r"\s+", " ", data))

    def close(self) -> str:
        """Return what was gathered."""
        self._end_row()
        self._end_line()
        title = " ".join("".join(self._title).split())
        if title and not self._has_heading:
            self._done.insert(0, f"# {title}\n")
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self._done)).strip()

    def _break(self, tag: str) -> None:
        """End the line that a block's start or end cuts off."""
        if tag in {"tr", "table"}:
            self._end_row()
        elif self._cells is not None:
            # What is said inside a row stays on the row's line.
            self._line.append(" ")
            return
        self._end_line()
        if tag in APART:
            self._done.append("")

    def _end_line(self) -> None:
        line = "".join(self._line)
        line = line.rstrip() if self._is_verbatim else " ".join(line.split())
        if line:
            self._done.append(self._mark + line)
            self._mark = ""
        self._line = []

    def _end_cell(self) -> None:
        if self._cells is not None:
            self._cells.append("".join(self._line))
            self._line = []

    def _end_row(self) -> None:
        if self._cells is None:
            return
        self._end_cell()
        # What stands before a row's first cell is most often nothing.
        row = self._cells if self._cells[0].strip() else self._cells[1:]
        self._cells = None
        if line := table_text([row]):
            self._done.append(line)
