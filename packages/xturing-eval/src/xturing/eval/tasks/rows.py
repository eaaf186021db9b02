"""The rows of a task, as they stand in a file beside it, at a path or on the hub."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from xturing.core.errors import DataError
from xturing.data.sources import SOURCES, Options, Table, open_table
from xturing.eval.tasks.task import Task

PlacedRow = tuple[Mapping[str, Any], str]
"""A row, and words that lead a user to it."""


def task_rows(task: Task, limit: int | None = None) -> list[PlacedRow]:
    """Return the rows that are asked, only the first of them with a limit.

    Raises:
        DataError: they cannot be read, or there are none.
    """
    options = Options(
        split=task.split, config=task.data_config, is_streamed=limit is not None
    )
    table = _table(task, task.data, task.source, options)
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
    if task.few_shot_data is not None:
        options = Options(split=task.few_shot_split)
        table = _table(task, task.few_shot_data, None, options)
    else:
        options = Options(split=task.few_shot_split, config=task.data_config)
        table = _table(task, task.data, task.source, options)
    return list(table.rows())


def _table(task: Task, data: str, source: str | None, options: Options) -> Table:
    path = (task.folder or Path()) / Path(data).expanduser()
    if not path.exists() and SOURCES["hub"].reads(data):
        return open_table(data, source or "hub", options)
    return open_table(path, source, options)
