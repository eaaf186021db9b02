"""Markdown in which other people's words are shown and never obeyed."""

import re
from collections.abc import Sequence

NO_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What rows may hold and no document may."""
LONGEST_QUOTE = 160
"""Characters of a text that are shown in a table."""


def escaped(words: str) -> str:
    """Return words on one line, with nothing in them that Markdown or HTML reads."""
    line = NO_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", " ".join(words.split()))
    return re.sub(r"([\\`*\[\]|~#<>&$]|\b_|_\b)", r"\\\1", line)


def shortened(words: str) -> str:
    """Return words on one line, cut where they are longer than a table has room for."""
    line = " ".join(words.split())
    if len(line) <= LONGEST_QUOTE:
        return line
    return f"{line[: LONGEST_QUOTE - 1].rstrip()}…"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; columns but the first stand right where they hold numbers."""
    marks = [
        "---",
        *("---:" if _is_numeric(rows, at) else "---" for at in range(1, len(columns))),
    ]
    lines = [columns, marks, *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def share(part: int, whole: int) -> str:
    """Return a part in per cent; nothing, if there is no whole."""
    return f"{part / whole:.0%}" if whole else ""


def counted(number: int, noun: str) -> str:
    """Return a number of things, the noun in the plural where it belongs there."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _is_numeric(rows: Sequence[Sequence[str]], at: int) -> bool:
    return all(re.fullmatch(r"[\d.,%$ ]*", row[at]) for row in rows)
