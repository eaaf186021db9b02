"""The rows of a task, as they stand in a file beside it, at a path or on the hub."""

from collections.abc import Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from xturing.core.errors import DataError
from xturing.core.events import Notice, tell
from xturing.data.sources import SOURCES, Options, Table, open_table
from xturing.eval.tasks.task import Task

PlacedRow = tuple[Mapping[str, Any], str]
"""A row, and words that lead a user to it."""


def task_rows(task: Task, limit: int | None = None) -> list[PlacedRow]:
    """Return the rows that are asked, only the first of them with a limit.

    Raises:
        DataError: they cannot be read, or there are none.
    """
    options = Options(split=task.split, is_streamed=limit is not None)
    table = _table(task, task.data, task.source, task.data_config, options)
    rows = list(islice(table.rows(), limit))
    if not rows:
        raise DataError(f"{table.origin} has no rows, so there is nothing to ask.")
    return rows


def has_own_examples(task: Task) -> bool:
    """Tell whether examples are from other rows than those that are asked."""
    return bool(task.few_shot and (task.few_shot_data or task.few_shot_split))


def example_rows(task: Task) -> list[PlacedRow]:
    """Return the rows that the task names for examples.

    Raises:
        DataError: they cannot be read.
    """
    options = Options(split=task.few_shot_split)
    if task.few_shot_data is not None:
        table = _table(task, task.few_shot_data, None, None, options)
    else:
        table = _table(task, task.data, task.source, task.data_config, options)
    return list(table.rows())


def _table(
    task: Task, data: str, source: str | None, config: str | None, options: Options
) -> Table:
    if config is not None:
        return _configured(data, config, options)
    path = (task.folder or Path()) / Path(data).expanduser()
    if not path.exists() and SOURCES["hub"].reads(data):
        return open_table(data, source or "hub", options)
    return open_table(path, source, options)


def _configured(name: str, config: str, options: Options) -> Table:
    """Return one configuration of a dataset of the hub."""
    from datasets import config as settings
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    from xturing.data.quiet import without_progress_bars
    from xturing.data.sources.memory import dataset_table
    from xturing.data.sources.reaching import answers, offline

    origin = f"the hub's {name} ({config})"
    tell(Notice(text=f"Fetching {name} ({config}) from the hub"))
    try:
        with ExitStack() as stack:
            stack.enter_context(without_progress_bars())
            if not (settings.HF_HUB_OFFLINE or answers(settings.HF_ENDPOINT)):
                # What was fetched before is read without waiting for the hub.
                stack.enter_context(offline())
            dataset = load_dataset(name, config, streaming=options.is_streamed)
    except (DatasetsError, OSError, ValueError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise DataError(
            f"{origin} could not be fetched ({reason}). Check the name and the "
            "connection, or fetch the rows elsewhere and give the task their file as "
            "'data', without a 'data_config'."
        ) from error
    return dataset_table(dataset, origin, options)
