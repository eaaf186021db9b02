"""Rows of cells as lines of text."""

from collections.abc import Iterable


def table_text(rows: Iterable[Iterable[str]]) -> str:
    """Return a line for each row that is not empty, its cells apart by bars."""
    lines = (" | ".join(" ".join(cell.split()) for cell in row) for row in rows)
    return "\n".join(line.rstrip(" |") for line in lines if line.strip(" |"))
