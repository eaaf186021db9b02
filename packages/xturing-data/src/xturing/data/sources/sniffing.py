"""What kind of file it is, by its content, where the name does not tell."""

import json
from pathlib import Path

from xturing.core.errors import DataError
from xturing.data.sources.delimited import is_table
from xturing.data.sources.text import TextFile
from xturing.data.sources.unpacking import readable

PEEK = 2**20
"""Characters that are looked at."""

_BINARY = {b"PAR1": "parquet", b"ARROW1": "arrow"}


def sniff(path: Path, max_expansion: int) -> str | None:
    """Return the name of the source that reads the file, or None if it is unclear."""
    if not path.is_file():
        return None
    with readable(path), path.open("rb") as file:
        start = file.read(8)
    for mark, name in _BINARY.items():
        if start.startswith(mark):
            return name
    try:
        text, is_all = TextFile(path, max_expansion).start(PEEK)
    except DataError:
        return None
    return _kind_of_text(text, is_all=is_all)


def are_json_lines(text: str) -> bool:
    """Tell whether a text begins with a line that is a JSON object, and goes on."""
    first, _, rest = text.lstrip().partition("\n")
    if not first.startswith("{") or not rest.lstrip().startswith("{"):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return True


def _kind_of_text(text: str, *, is_all: bool) -> str | None:
    if are_json_lines(text):
        return "jsonl"
    if text.lstrip()[:1] in ("{", "["):
        return "json"
    return "csv" if is_table(text, is_all=is_all) else None
