"""A source of rows: files whose names end in .example, a question and answer a line."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from xturing.core.errors import DataError
from xturing.data.sources import Entry, Options, Table
from xturing.data.sources.files import FileSource


def _entries(path: Path) -> Iterator[Entry]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        place = f"{path}, line {number}"
        question, bar, answer = line.partition(" | ")
        if bar:
            yield {"instruction": question, "target": answer}, place
        else:
            yield DataError(f"{place} has no ' | ' between question and answer."), place


def _table(path: Path, options: Options) -> Table:
    return Table(str(path), partial(_entries, path), "questions and answers")


Example = FileSource("example", (".example",), _table)
