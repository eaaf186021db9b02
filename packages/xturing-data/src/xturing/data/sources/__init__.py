"""Where rows come from: one file a kind of source.

A source says whether it reads what the user gave, and reads it into a `Table`, one row
after the other. Other distributions add sources with the entry point group
`xturing.dataset_sources`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from xturing.core.errors import DataError
from xturing.core.registry import Registry
from xturing.data.sources.checks import as_row
from xturing.data.sources.paths import existing, missing
from xturing.data.sources.sniffing import sniff
from xturing.data.sources.unpacking import MAX_EXPANSION

Entry = tuple[object, str]
"""What stands where a row should, or the `DataError` that says why nothing does, and
words that lead a user to it."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user says of a source beside what it is."""

    split: str | None = None
    """The part to read where there are several; None for the one to train on."""
    config: str | None = None
    """The configuration of a dataset of the hub, where it has several."""
    max_expansion: int = MAX_EXPANSION
    """How many times its size a packed file may unpack to."""
    is_streamed: bool = False
    """Whether few rows may be wanted, so that none should be fetched ahead."""

    def refuse_split(self, origin: str) -> None:
        """Raise `DataError` if a split was asked for, where there are none."""
        if self.split is not None:
            raise DataError(
                f"{origin} has no splits, so there is no '{self.split}'. Leave the "
                "split out, or give the folder in which each split is a file."
            )


@dataclass(frozen=True)
class Table:
    """Rows that are read when they are asked for, anew each time."""

    origin: str
    entries: Callable[[], Iterator[Entry]]
    """Goes through all rows, those that cannot be read included."""
    read_as: str
    """What the source was taken for, such as "JSON lines"."""

    def rows(self) -> Iterator[tuple[Mapping[str, Any], str]]:
        """Yield each row and words that lead a user to it.

        Raises:
            DataError: a row cannot be read or is no row.
        """
        for value, place in self.entries():
            yield as_row(value, place), place


class Source(Protocol):
    """A way to read rows."""

    def reads(self, given: object) -> bool:
        """Tell whether this source is for what the user gave, by name or type."""
        ...

    def table(self, given: Any, options: Options) -> Table:
        """Return its rows."""
        ...


SOURCES: Registry[Source] = Registry(
    "dataset source",
    "xturing.dataset_sources",
    {
        "arrow": "xturing.data.sources.columnar:ArrowFile",
        "csv": "xturing.data.sources.csv_file:CsvFile",
        "folder": "xturing.data.sources.folder:Folder",
        "hub": "xturing.data.sources.hub:Hub",
        "json": "xturing.data.sources.json_file:JsonFile",
        "jsonl": "xturing.data.sources.jsonl_file:JsonlFile",
        "lines": "xturing.data.sources.text_file:Lines",
        "memory": "xturing.data.sources.memory:Memory",
        "paragraphs": "xturing.data.sources.text_file:Paragraphs",
        "parquet": "xturing.data.sources.columnar:ParquetFile",
        "saved": "xturing.data.sources.saved:Saved",
        "splits": "xturing.data.sources.splits:Splits",
        "text": "xturing.data.sources.text_file:Text",
        "tsv": "xturing.data.sources.csv_file:TsvFile",
    },
)


def open_table(given: object, source: str | None, options: Options) -> Table:
    """Return the rows of whatever the user gave, read by the named source if any.

    Raises:
        DataError: nothing reads it.
        UnknownNameError: there is no such source.
    """
    if isinstance(given, str | Path):
        given = existing(given)
    if source is not None:
        return SOURCES[source].table(given, options)
    for candidate in SOURCES.values():
        if candidate.reads(given):
            return candidate.table(given, options)
    if isinstance(given, str):
        raise missing(given)
    name = sniff(given, options.max_expansion) if isinstance(given, Path) else None
    if name is not None:
        return SOURCES[name].table(given, options)
    what = str(given) if isinstance(given, Path) else type(given).__name__
    raise DataError(
        f"{what} is no data that can be read here. Give a file of rows (.json, .jsonl, "
        ".csv, .parquet and others) or of text, a folder of them, a dict of lists, a "
        "list of rows or a datasets.Dataset; or say with source=… which of these it "
        f"is: {', '.join(SOURCES)}."
    )
