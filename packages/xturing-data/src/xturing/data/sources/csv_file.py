"""A .csv or .tsv file: a line of column names, then one row a record.

Commas, semicolons, tabs and bars are told apart by the first line. Every value is a
string; a row with too few or too many is an error.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from xturing.core.errors import DataError
from xturing.data.sources import Entry, Options, Table
from xturing.data.sources.delimited import BrokenRowError, delimiter_of, rows_of
from xturing.data.sources.files import FileSource
from xturing.data.sources.text import TextFile
from xturing.data.wording import listed, shortened


def _table(path: Path, options: Options, delimiter: str | None = None) -> Table:
    file = TextFile(path, options.max_expansion)
    if delimiter is None:
        delimiter = delimiter_of(next((line for _, line in file.lines() if line), ""))
    what = "tab-separated" if delimiter == "\t" else f"separated by '{delimiter}'"
    return Table(str(path), partial(_entries, file, delimiter), f"a table, {what}")


def _entries(file: TextFile, delimiter: str) -> Iterator[Entry]:
    lines = (f"{line}\n" for _, line in file.lines())
    header: list[str] | None = None
    try:
        for number, values in rows_of(lines, delimiter):
            place = f"{file.path}, line {number}"
            if header is None:
                header = _header(values, place)
            elif len(values) != len(header):
                yield _ragged(values, header, place), place
            else:
                yield dict(zip(header, values, strict=True)), place
    except BrokenRowError as error:
        raise DataError(
            f"{file.path}, line {error.line}: the quoting is broken ({error}). A "
            "value with quotes or line feeds stands in double quotes, and quotes in it "
            'are doubled: "like ""this""".'
        ) from error


def _header(names: list[str], place: str) -> list[str]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(
            f"{place} names the column '{shortened(twice)}' twice. Rename one."
        )
    return names


def _ragged(values: list[str], header: list[str], place: str) -> DataError:
    return DataError(
        f"{place} has {len(values)} values and the first line names {len(header)} "
        f"columns ({listed(header)}). Quote values in which the separator stands."
    )


CsvFile = FileSource("csv", (".csv",), _table)
TsvFile = FileSource("tsv", (".tsv",), partial(_table, delimiter="\t"))
