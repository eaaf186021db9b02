"""How tables of text are written: what stands between columns, and how to quote it.

Quoting is that of RFC 4180. Knows nothing of files.
"""

import csv
from collections.abc import Iterable, Iterator

DELIMITERS = ",\t;|"
LONGEST_FIELD = 2**31 - 1
"""Characters of a field; the most that the csv module can count to everywhere."""


def rows_of(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line where each row begins, and its fields.

    Raises:
        csv.Error: quoting is broken.
    """
    # The limit holds for the process and is there for broken quotes; we bound nothing
    # by it that a file does not bound by its size.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    start = 1
    for row in reader:
        if row:
            yield start, row
        start = reader.line_num + 1


def delimiter_of(line: str) -> str:
    """Return what makes the most columns of the first line; the comma, if nothing."""

    def columns(delimiter: str) -> int:
        try:
            return next((len(row) for _, row in rows_of([line], delimiter)), 0)
        except csv.Error:
            return 0

    return max(DELIMITERS, key=columns)


def is_table(text: str, *, is_all: bool) -> bool:
    """Tell whether the lines have two columns or more, and all the same number."""
    # Not `splitlines`, for which other characters end a line too.
    lines = [f"{line}\n" for line in text.removesuffix("\n").split("\n")]
    whole = lines if is_all else lines[:-1]
    if len(whole) < 2:
        return False
    try:
        sizes = {len(row) for _, row in rows_of(whole, delimiter_of(whole[0]))}
    except csv.Error:
        return False
    return len(sizes) == 1 and sizes.pop() > 1
