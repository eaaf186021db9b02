"""An array of rows in JSON, which is read as it comes, whatever its file is called."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from xturing.data.sources import Entry, Options, Table
from xturing.data.sources.json_values import JsonValues
from xturing.data.sources.memory import numbered
from xturing.data.sources.text import TextFile


def array_table(path: Path, options: Options) -> Table:
    """Return the rows of a file that holds one JSON array."""
    file = TextFile(path, options.max_expansion)
    return Table(str(path), partial(_entries, file), "a JSON array")


def is_array(text: str) -> bool:
    """Tell whether a JSON text begins as an array does."""
    return text.lstrip().startswith("[")


def _entries(file: TextFile) -> Iterator[Entry]:
    values = JsonValues(file.path, file.pieces())
    yield from numbered(values.array(), str(file.path))
    values.end("keep one array in a file")
