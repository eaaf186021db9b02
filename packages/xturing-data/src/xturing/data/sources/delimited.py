"""How tables of text are written: what stands between columns, and how to quote it.

Quoting is that of RFC 4180. Knows nothing of files.
"""

import csv
from collections.abc import Iterable, Iterator

DELIMITERS = ",\t;|"
LONGEST_FIELD = 2**31 - 1
"""Characters of a field; the most that the csv module can count to everywhere."""
LONGEST_LINE = 2**28
"""Characters of a line."""
LONGEST_QUOTED = 2**24
"""Characters of a row of several lines: more means that a quote was never closed."""


class BrokenRowError(csv.Error):
    """A row cannot be told apart from what follows it."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        """Where the row begins, or the quote that is never closed."""


def rows_of(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line where each row begins, and its fields.

    Raises:
        BrokenRowError: quoting is broken, or a row is too long.
    """
    # The limit holds for the process, and the csv module would not say where it was
    # passed; the lines are measured on their way.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))
    measured = _Measured(lines)
    reader = csv.reader(measured, delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if row:
                yield measured.start, row
            measured.end_row()
    except BrokenRowError:
        raise
    except csv.Error as error:
        line = measured.opened if measured.is_over else measured.start
        raise BrokenRowError(line or measured.start, str(error)) from error


class _Measured:
    """Lines that know the row they belong to, and how long it has become."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._number = 0
        self._characters = 0
        self.start = 1
        """The line where the row begins."""
        self.opened = 0
        """The line of the row's last quote that was not closed yet; 0 for none."""
        self.is_over = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = next(self._lines)
        except StopIteration:
            self.is_over = True
            raise
        self._number += 1
        self._characters += len(line)
        if len(line) > LONGEST_LINE:
            raise BrokenRowError(
                self._number, f"the line has more than {LONGEST_LINE:,} characters"
            )
        if self.opened and self._characters > LONGEST_QUOTED:
            raise BrokenRowError(
                self.opened,
                f"a quote is not closed within {LONGEST_QUOTED:,} characters",
            )
        if '"' in line:
            self._note_quotes(line.replace('""', "").count('"'))
        return line

    def _note_quotes(self, quotes: int) -> None:
        """Note what a line's quotes do; those that are doubled do nothing."""
        if quotes % 2:
            self.opened = 0 if self.opened else self._number
        elif quotes and self.opened:
            self.opened = self._number

    def end_row(self) -> None:
        """Begin a new row with the next line."""
        self.start = self._number + 1
        self._characters = self.opened = 0


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
