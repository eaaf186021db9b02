"""A paper as Markdown. Pictures become tables: most readers show none inline."""

import re
from collections.abc import Sequence

from xturing.core.papers.blocks import (
    Bars,
    Block,
    Curves,
    Paragraph,
    Quote,
    Section,
    Table,
)
from xturing.core.papers.curves import thinned
from xturing.core.papers.escaping import printable

POINTS = 10
"""Points of a curve that are given as numbers."""


def text(title: str, sections: Sequence[Section]) -> str:
    """Return the paper; everything that it is given is shown and never obeyed."""
    parts = [f"# {_escaped(title)}"]
    for section in sections:
        parts.append(f"## {_escaped(section.title)}")
        parts += [_written(block) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _written(block: Block) -> str:
    match block:
        case Paragraph(words):
            return _escaped(words)
        case Quote(title, words):
            words = printable(words)
            # A fence ends only at one as long as it is.
            longest = max((len(run) for run in re.findall("`+", words)), default=0)
            fence = "`" * max(longest + 1, 3)
            return f"{_escaped(title)}:\n\n{fence}text\n{words}\n{fence}"
        case Table(columns, rows):
            return _table(columns, rows)
        case Curves(title, x_label, y_label, lines):
            rows = [
                (line.name, f"{x:.6g}", f"{y:.6g}")
                for line in lines
                for x, y in thinned(line.points, POINTS)
            ]
            return f"{_escaped(title)}:\n\n{_table(('', x_label, y_label), rows)}"
        case Bars(title, label, bars):
            rows = [(bar.group, bar.name, bar.words) for bar in bars]
            return f"{_escaped(title)}:\n\n{_table(('', '', label), rows)}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head, *body = (
        f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in (columns, *rows)
    )
    return "\n".join([head, f"|{'|'.join(['---'] * len(columns))}|", *body])


def _escaped(words: str) -> str:
    """Return words on one line, with nothing in them that Markdown or HTML reads."""
    line = " ".join(printable(words).split())
    return re.sub(r"([\\`*\[\]|~#<>&]|\b_|_\b)", r"\\\1", line)
