"""Parquet and Arrow files, read batch by batch."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from xturing.core.errors import DataError
from xturing.data.sources import Entry, Options, Table
from xturing.data.sources.files import FileSource
from xturing.data.sources.memory import ROWS_AT_ONCE, checked_rows, numbered

if TYPE_CHECKING:
    from pyarrow import RecordBatch


def arrow_errors() -> tuple[type[Exception], ...]:
    """Return what pyarrow raises where a file is damaged."""
    from pyarrow import ArrowException

    return ArrowException, OSError, ValueError, OverflowError


def _parquet(path: Path) -> "Iterator[RecordBatch]":
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        yield from file.iter_batches(batch_size=ROWS_AT_ONCE)


def _arrow(path: Path) -> "Iterator[RecordBatch]":
    import pyarrow

    # Not mapped to memory: if a mapped file shrinks meanwhile, the process dies.
    with pyarrow.OSFile(str(path)) as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        if is_file:
            with pyarrow.ipc.open_file(file) as reader:
                for index in range(reader.num_record_batches):
                    yield reader.get_batch(index)
        else:
            with pyarrow.ipc.open_stream(file) as reader:
                yield from reader


READERS = {"Parquet": _parquet, "Arrow": _arrow}


def _table(path: Path, options: Options, kind: str) -> Table:
    return Table(str(path), partial(_entries, path, kind), kind)


def _entries(path: Path, kind: str) -> Iterator[Entry]:
    try:
        yield from numbered(_rows(READERS[kind](path)), str(path))
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a file.") from None
    except arrow_errors() as error:
        raise DataError(
            f"{path} is no whole {kind} file ({error}). It may have been cut off or "
            "damaged; fetch or write it again."
        ) from error


def _rows(batches: "Iterator[RecordBatch]") -> Iterator[object]:
    for batch in batches:
        for first in range(0, batch.num_rows, ROWS_AT_ONCE):
            yield from checked_rows(batch.slice(first, ROWS_AT_ONCE))


ParquetFile = FileSource(
    "parquet", (".parquet", ".pq"), partial(_table, kind="Parquet")
)
ArrowFile = FileSource("arrow", (".arrow", ".feather"), partial(_table, kind="Arrow"))
