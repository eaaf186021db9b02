"""A dataset of the Hugging Face hub by its id, fetched by the `datasets` library.

Where the hub does not answer, and in its offline mode, what was fetched before is read.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from xturing.core.errors import DataError
from xturing.core.events import Notice, tell
from xturing.data.quiet import without_progress_bars
from xturing.data.sources import Entry, Options, Table
from xturing.data.sources.files import ending
from xturing.data.sources.memory import dataset_table
from xturing.data.sources.reaching import answers, offline
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
        if options.config is not None:
            origin += f" ({options.config})"
        unreachable = _why_unreachable()
        how = f"Looking for an earlier copy of {name}, since {unreachable}"
        tell(Notice(text=how if unreachable else f"Fetching {name} from the hub"))
        with ExitStack() as stack:
            stack.enter_context(_fetching(name, unreachable))
            stack.enter_context(without_progress_bars())
            if unreachable:
                stack.enter_context(offline())
            dataset = datasets.load_dataset(
                name, options.config, streaming=options.is_streamed
            )
        table = dataset_table(dataset, origin, options)
        return replace(table, entries=partial(_entries, table, name), read_as="hub id")


def _entries(table: Table, name: str) -> Iterator[Entry]:
    with _fetching(name), without_progress_bars():
        yield from table.entries()


def _why_unreachable() -> str:
    """Return why nothing can be fetched, or nothing if it can."""
    from datasets import config

    if config.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set"
    endpoint = config.HF_ENDPOINT
    return "" if answers(endpoint) else f"the hub ({endpoint}) cannot be reached"


@contextmanager
def _fetching(name: str, unreachable: str = "") -> Iterator[None]:
    from datasets.exceptions import DatasetsError

    try:
        yield
    except (DatasetsError, OSError, ValueError, RuntimeError) as error:
        if unreachable:
            raise DataError(
                f"There is no file or folder {name}, and no dataset of that id was "
                f"fetched before; {unreachable}. Give a file or a folder, or try again "
                "with a connection."
            ) from error
        raise DataError(
            f"There is no file or folder {name}, and no dataset of that id could be "
            f"fetched from the hub ({_first_line(error)}). Check the name and the "
            "connection, or fetch the rows elsewhere and give the file."
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


Hub = _Hub()
