"""A dataset of the Hugging Face hub by its id, fetched by the `datasets` library."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from xturing.core.errors import DataError
from xturing.core.events import Notice, tell
from xturing.data.quiet import without_progress_bars
from xturing.data.sources import Entry, Options, Table
from xturing.data.sources.files import ending
from xturing.data.sources.memory import dataset_table
from xturing.data.sources.splits import ROWS

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


class _Hub:
    def reads(self, given: object) -> bool:
        if not isinstance(given, str) or not _ID.fullmatch(given):
            return False
        # A name in a folder that is there, or of a kind of file, is a mistaken path.
        path = Path(given)
        return ending(path) not in ROWS and not path.parent.is_dir()

    def table(self, given: object, options: Options) -> Table:
        import datasets

        name = str(given)
        origin = f"the hub's {name}"
        tell(Notice(text=f"Fetching {name} from the hub"))
        with _fetching(name), without_progress_bars():
            dataset = datasets.load_dataset(name, streaming=options.is_streamed)
        table = dataset_table(dataset, origin, options)
        return replace(table, entries=partial(_entries, table, name), read_as="hub id")


def _entries(table: Table, name: str) -> Iterator[Entry]:
    with _fetching(name), without_progress_bars():
        yield from table.entries()


@contextmanager
def _fetching(name: str) -> Iterator[None]:
    from datasets.exceptions import DatasetsError

    try:
        yield
    except (DatasetsError, OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"There is no file or folder {name}, and no dataset of that id could be "
            f"fetched from the hub ({_first_line(error)}). Check the name and the "
            "connection, or fetch the rows elsewhere and give the file."
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


Hub = _Hub()
