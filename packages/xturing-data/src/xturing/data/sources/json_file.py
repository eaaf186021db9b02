"""A .json file: an array of rows, which is read as it comes, or an object around one.

An object of equally long lists is rows too; it has to be read as a whole. So is a file
of JSON lines that only its name calls JSON.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from xturing.core.errors import DataError
from xturing.data.sources import Entry, Options, Table
from xturing.data.sources.files import FileSource
from xturing.data.sources.json_array import array_table, is_array
from xturing.data.sources.json_values import JsonValues
from xturing.data.sources.jsonl_file import lines_table
from xturing.data.sources.memory import column_entries, numbered
from xturing.data.sources.sniffing import PEEK, are_json_lines
from xturing.data.sources.text import TextFile
from xturing.data.wording import shortened

_AROUND_AN_ARRAY = re.compile(r'\s*\{\s*("(?:[^"\\]|\\.)*")\s*:\s*\[\s*\{')


def _table(path: Path, options: Options) -> Table:
    file = TextFile(path, options.max_expansion)
    start, _ = file.start(PEEK)
    if is_array(start):
        return array_table(path, options)
    if are_json_lines(start):
        return lines_table(path, options)
    if around := _AROUND_AN_ARRAY.match(start):
        name = shortened(_name(around[1]))
        origin = f"{path}, field '{name}'"
        entries = partial(_array_inside, file, origin)
        return Table(origin, entries, f"the JSON array in the field '{name}'")
    return Table(str(path), partial(_object, file), "a JSON object")


def _array_inside(file: TextFile, origin: str) -> Iterator[Entry]:
    values = JsonValues(file.path, file.pieces())
    values.expect("{")
    values.value()
    values.expect(":")
    yield from numbered(values.array(), origin)
    if values.peek() == ",":
        raise DataError(
            f"{origin} is followed by another field, so it is not clear what the rows "
            "are. Keep the array of rows alone, without the object around it."
        )
    values.expect("}")
    values.end("keep one array in a file")


def _object(file: TextFile) -> Iterator[Entry]:
    values = JsonValues(file.path, file.pieces())
    if not values.peek():
        return
    value = values.value()
    if isinstance(value, DataError):
        raise value
    values.end('if each line is a row of its own, read it with source="jsonl"')
    if not isinstance(value, dict):
        raise DataError(
            f"{file.path} holds {type(value).__name__}, not rows. "
            "A .json file is an array with one object a row."
        )
    yield from _rows_of(value, str(file.path))


def _rows_of(value: Mapping[str, object], origin: str) -> Iterator[Entry]:
    if any(isinstance(field, list) for field in value.values()):
        yield from column_entries(value, origin)
    else:
        yield value, f"{origin}, row 1"


def _name(written: str) -> str:
    try:
        return json.loads(written).encode(errors="replace").decode()
    except ValueError:
        return written


JsonFile = FileSource("json", (".json",), _table)
