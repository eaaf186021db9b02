"""Excel's .xlsx: a part a sheet, by openpyxl; formulas as the values last computed."""

from collections.abc import Iterator
from datetime import date, time
from pathlib import Path
from typing import Any

from xturing.core.extras import require
from xturing.data.documents import TextPart, UnreadableError
from xturing.data.documents.archives import check
from xturing.data.documents.tables import table_text

MOST_CELLS = 10_000_000
"""Cells that are looked at, empty ones included: a small file can claim any number."""


def read(path: Path) -> Iterator[TextPart]:
    """Yield each sheet that has cells."""
    openpyxl = require("openpyxl", package="xturing-data", extra="documents")
    check(path)
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        for sheet in book.worksheets:
            # What a sheet says of its own size is often wrong.
            sheet.reset_dimensions()
            yield TextPart(f"sheet {sheet.title}", table_text(_rows(sheet)))
    finally:
        book.close()


def _rows(sheet: Any) -> Iterator[list[str]]:
    cells = 0
    for row in sheet.iter_rows(values_only=True):
        cells += max(len(row), 1)
        if cells > MOST_CELLS:
            raise UnreadableError(
                f"has more than {MOST_CELLS:,} cells in sheet '{sheet.title}'"
            )
        yield [_shown(value) for value in row]


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, date | time):
        return value.isoformat().removesuffix("T00:00:00")
    return str(value)
