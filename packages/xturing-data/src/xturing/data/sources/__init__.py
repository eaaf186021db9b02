"""Where rows come from: one file a kind of source.

A source says whether it reads what the user gave, and reads it into a `Table`. Other
distributions add sources with the entry point group `xturing.dataset_sources`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from xturing.core.errors import DataError
from xturing.core.registry import Registry


@dataclass(frozen=True)
class Table:
    """Rows, and what to call each of them in a message."""

    origin: str
    rows: Sequence[Mapping[str, Any]]
    lines: Sequence[int] | None = None
    """The line of each row, where the source has lines."""

    def place(self, index: int) -> str:
        """Return words that lead a user to the row."""
        if self.lines is None:
            return f"{self.origin}, row {index + 1}"
        return f"{self.origin}, line {self.lines[index]}"


class Source(Protocol):
    """A way to read rows."""

    def reads(self, given: object) -> bool:
        """Tell whether this source is for what the user gave."""
        ...

    def table(self, given: Any) -> Table:
        """Return its rows."""
        ...


SOURCES: Registry[Source] = Registry(
    "dataset source",
    "xturing.dataset_sources",
    {
        "folder": "xturing.data.sources.folder:Folder",
        "json": "xturing.data.sources.json_file:JsonFile",
        "jsonl": "xturing.data.sources.jsonl_file:JsonlFile",
        "memory": "xturing.data.sources.memory:Memory",
    },
)


def read_table(given: object) -> Table:
    """Return the rows of whatever the user gave.

    Raises:
        DataError: nothing reads it, or it holds no rows.
    """
    if isinstance(given, str):
        given = Path(given)
    if isinstance(given, Path):
        given = given.expanduser()
        if not given.exists():
            raise DataError(f"There is no file or folder {given}.")
    for source in SOURCES.values():
        if source.reads(given):
            table = source.table(given)
            if not len(table.rows):
                raise DataError(f"{table.origin} holds no rows.")
            return table
    what = str(given) if isinstance(given, Path) else type(given).__name__
    raise DataError(
        f"{what} is no data that can be read here. Give a .json or .jsonl file, a "
        "saved dataset folder, a dict of lists, a list of rows or a datasets.Dataset."
    )
