"""Rows that are in memory: dicts of lists, lists of rows, `datasets` objects."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xturing.core.errors import DataError
from xturing.data.sources import Table

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


class _Memory:
    def reads(self, given: object) -> bool:
        return isinstance(given, Mapping | list | tuple) or _is_dataset(given)

    def table(self, given: Any) -> Table:
        if _is_dataset(given):
            return dataset_table(given, "the dataset")
        if isinstance(given, Mapping):
            return columns_table(given, "the dict")
        return rows_table(given, "the list")


Memory = _Memory()


def rows_table(
    rows: Sequence[object], origin: str, lines: Sequence[int] | None = None
) -> Table:
    """Return rows as a table.

    Raises:
        DataError: a row is not a mapping.
    """
    table = Table(origin, [row for row in rows if isinstance(row, Mapping)], lines)
    if len(table.rows) < len(rows):
        wrong = next(i for i, row in enumerate(rows) if not isinstance(row, Mapping))
        raise DataError(
            f"{table.place(wrong)} is {rows[wrong]!r}, not an object with named fields."
        )
    return table


def columns_table(columns: Mapping[str, object], origin: str) -> Table:
    """Return a dict of equally long lists as a table.

    Raises:
        DataError: a column is no list, or their lengths differ.
    """
    lists: dict[str, Sequence[object]] = {}
    for name, values in columns.items():
        if not isinstance(values, list | tuple):
            raise DataError(
                f"{origin}, column '{name}' is {type(values).__name__}, not a list. "
                "A dict of rows has one list a column, all of the same length."
            )
        lists[name] = values
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{origin} has columns of different lengths: {lengths}.")
    rows = [
        dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)
    ]
    return Table(origin, rows)


def dataset_table(dataset: "Dataset | DatasetDict", origin: str) -> Table:
    """Return a `datasets.Dataset`, or the train split of a `DatasetDict`, as a table.

    Raises:
        DataError: a `DatasetDict` has no split named train.
    """
    from datasets import Dataset

    if isinstance(dataset, Dataset):
        return Table(origin, dataset.to_list())
    if "train" not in dataset:
        raise DataError(
            f"{origin} has the splits {', '.join(map(str, dataset))} and none named "
            "'train'. Pass the split you want: dataset['…']."
        )
    return Table(origin, dataset["train"].to_list())


def _is_dataset(given: object) -> bool:
    # Whoever holds such an object has imported the library already.
    datasets = sys.modules.get("datasets")
    return datasets is not None and isinstance(
        given, datasets.Dataset | datasets.DatasetDict
    )
