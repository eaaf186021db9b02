"""A .jsonl or .ndjson file: one JSON object a line.

A file that holds one array is read as that, though its name says lines.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from xturing.core.errors import DataError
from xturing.data.json_text import DECODER, RepeatedKeyError
from xturing.data.sources import Entry, Options, Table
from xturing.data.sources.files import FileSource
from xturing.data.sources.json_array import array_table, is_array
from xturing.data.sources.text import TextFile


def lines_table(path: Path, options: Options) -> Table:
    """Return the rows of a file with one JSON object a line."""
    file = TextFile(path, options.max_expansion)
    return Table(str(path), partial(_entries, file), "JSON lines")


def _table(path: Path, options: Options) -> Table:
    start, _ = TextFile(path, options.max_expansion).start(1)
    return (array_table if is_array(start) else lines_table)(path, options)


def _entries(file: TextFile) -> Iterator[Entry]:
    for number, line in file.lines():
        if line and not line.isspace():
            place = f"{file.path}, line {number}"
            yield _value(line, place), place


def _value(line: str, place: str) -> object:
    try:
        return DECODER.decode(line)
    except RepeatedKeyError as error:
        return DataError(f"{place}: {error}.")
    except json.JSONDecodeError as error:
        why = f"{error.msg} at column {error.colno}"
    except RecursionError:
        why = "it is nested too deep"
    except ValueError as error:
        why = str(error)
    return DataError(
        f"{place}: this is not JSON ({why}). A .jsonl file has one JSON object on each "
        "line."
    )


JsonlFile = FileSource("jsonl", (".jsonl", ".ndjson"), _table)
