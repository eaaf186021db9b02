"""Rows that are in memory: dicts of lists, lists of rows, `datasets` objects."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from xturing.core.errors import DataError
from xturing.data.sources import Entry, Options, Table
from xturing.data.sources.names import choose_split
from xturing.data.wording import joined, shortened

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict
    from pyarrow import RecordBatch
    from pyarrow import Table as ArrowTable

    AnyDataset = Dataset | DatasetDict | IterableDataset | IterableDatasetDict

ROWS_AT_ONCE = 256
"""Rows that are turned from columns to objects together."""


class _Memory:
    def reads(self, given: object) -> bool:
        return isinstance(given, Mapping | list | tuple) or _is_dataset(given)

    def table(self, given: Any, options: Options) -> Table:
        if _is_dataset(given):
            return dataset_table(given, "the dataset", options)
        if isinstance(given, Mapping):
            options.refuse_split("the dict")
            return Table(
                "the dict", partial(column_entries, given, "the dict"), "a dict"
            )
        if isinstance(given, list | tuple):
            options.refuse_split("the list")
            return Table("the list", partial(numbered, given, "the list"), "a list")
        raise DataError(
            f"{given} is not in memory: it is {type(given).__name__}. Leave the source "
            "out, or give a dict of lists, a list of rows or a datasets.Dataset."
        )


Memory = _Memory()


def numbered(values: Iterable[object], origin: str) -> Iterator[Entry]:
    """Yield rows with their numbers."""
    for number, value in enumerate(values, start=1):
        yield value, f"{origin}, row {number}"


def column_entries(columns: Mapping[str, object], origin: str) -> Iterator[Entry]:
    """Yield the rows of a dict of equally long lists.

    Raises:
        DataError: a column is no list, or their lengths differ.
    """
    lists: dict[str, Sequence[object]] = {}
    for name, values in columns.items():
        if not isinstance(values, list | tuple):
            raise DataError(
                f"{origin}, column '{shortened(name)}' is {type(values).__name__}, "
                "not a list. A dict of rows has one list a column, all of the same "
                "length."
            )
        lists[name] = values
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        several = joined([f"{shortened(name)}: {lengths[name]}" for name in lengths])
        raise DataError(f"{origin} has columns of different lengths: {several}.")
    rows = (
        dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)
    )
    yield from numbered(rows, origin)


def dataset_table(dataset: "AnyDataset", origin: str, options: Options) -> Table:
    """Return a dataset of the `datasets` library, or one split of several, as a table.

    Raises:
        DataError: there is no such split.
    """
    if isinstance(dataset, Mapping):
        name = choose_split(tuple(dataset), options.split, origin)
        if options.split is not None:
            origin = f"{origin}, split '{name}'"
        dataset = dataset[name]
    else:
        options.refuse_split(origin)
    return Table(origin, partial(_dataset_entries, dataset, origin), "a dataset")


def _dataset_entries(
    dataset: "Dataset | IterableDataset", origin: str
) -> Iterator[Entry]:
    from datasets import Dataset

    if isinstance(dataset, Dataset):
        # As Arrow, values come as they are stored: no picture is decoded on the way.
        batches: Any = dataset.with_format("arrow").iter(batch_size=ROWS_AT_ONCE)
        rows = (row for batch in batches for row in checked_rows(batch))
    else:
        rows = dataset
    yield from numbered(rows, origin)


def checked_rows(batch: "RecordBatch | ArrowTable") -> list[dict[str, Any]]:
    """Return the rows of a batch, after it was made sure that it is whole.

    A damaged batch would have pyarrow read memory that is not its own.
    """
    batch.validate(full=True)
    return batch.to_pylist()


def _is_dataset(given: object) -> bool:
    # Whoever holds such an object has imported the library already.
    datasets = sys.modules.get("datasets")
    return datasets is not None and isinstance(
        given,
        datasets.Dataset
        | datasets.DatasetDict
        | datasets.IterableDataset
        | datasets.IterableDatasetDict,
    )
