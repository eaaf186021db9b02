"""Text out of the markup that Word and PowerPoint share.

Both have paragraphs `p` of texts `t`, and tables `tbl` of rows `tr` and cells `tc`, in
namespaces of their own; so only the names count here. What the libraries for the two
formats pass over is found too: content controls, tracked insertions, text boxes.
"""

from collections.abc import Callable, Iterator
from typing import Any

from xturing.data.documents.tables import table_text

Level = Callable[[Any], int]
"""What tells a paragraph's level as a heading; 0 for none."""

BREAKS = {"br": "\n", "cr": "\n", "tab": "\t", "noBreakHyphen": "\u2011"}
PASSED_OVER = frozenset("Fallback del moveFrom pPr rPr rt sdtPr".split())
"""Second copies, deleted words and settings."""


def blocks(element: Any, level: Level = lambda _: 0) -> Iterator[str]:
    """Yield the text of each paragraph and table below an element, in order."""
    for child in element:
        name = _name(child)
        if name in PASSED_OVER:
            continue
        if name == "tbl":
            yield table_text(_rows(child))
            continue
        if name == "p":
            text = "".join(_words(child)).strip()
            marks = "#" * level(child) + " " if level(child) else ""
            yield f"{marks}{text}" if text else ""
        yield from blocks(child, level)


def joined(texts: Iterator[str]) -> str:
    """Return texts with an empty line between them, those that are empty left out."""
    return "\n\n".join(text for text in texts if text)


def _rows(table: Any) -> Iterator[list[str]]:
    for row in _named(table, "tr"):
        yield [" ".join(blocks(cell)) for cell in _named(row, "tc")]


def _named(element: Any, name: str) -> Iterator[Any]:
    """Yield the nearest descendants of a name; content controls may wrap them."""
    for child in element:
        if _name(child) == name:
            yield child
        elif _name(child) not in PASSED_OVER:
            yield from _named(child, name)


def _words(element: Any) -> Iterator[str]:
    for child in element:
        name = _name(child)
        if name == "t":
            yield child.text or ""
        elif name in BREAKS:
            yield BREAKS[name]
        elif name not in PASSED_OVER and name not in {"p", "tbl"}:
            yield from _words(child)


def _name(element: Any) -> str:
    # The tag of a comment is a function.
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
