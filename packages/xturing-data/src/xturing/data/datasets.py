"""Rows that have been checked, ready to be encoded.

A dataset knows what its rows mean and where each came from; it knows nothing of tokens.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from xturing.core.errors import DataError
from xturing.core.files import new_folder
from xturing.data.quiet import without_progress_bars
from xturing.data.records import Conversation, Message, Record
from xturing.data.shapes import Kind, read_row, recognise, to_record
from xturing.data.sources import Table, read_table


class BaseDataset:
    """Rows of one shape.

    `source` is a .json or .jsonl file, a saved folder, a dict of lists, a list of rows,
    a `datasets.Dataset` or a `DatasetDict` with a train split.

    Raises:
        DataError: it cannot be read, or a row is wrong; the message names file, row and
            field.
    """

    config_name: ClassVar[str]
    kinds: ClassVar[tuple[Kind, ...]]

    def __init__(self, source: object) -> None:
        self._adopt(read_table(source))

    @classmethod
    def _of(cls, table: Table) -> Self:
        dataset = cls.__new__(cls)
        dataset._adopt(table)
        return dataset

    def _adopt(self, table: Table) -> None:
        shape = recognise(table.rows[0], self.kinds, table.place(0))
        self.origin = table.origin
        self.shape = shape
        self._rows = [
            read_row(row, shape, table.place(index))
            for index, row in enumerate(table.rows)
        ]
        self._places = [table.place(index) for index in range(len(table.rows))]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rows[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._rows)

    def place(self, index: int) -> str:
        """Return the file and line a row came from."""
        return self._places[index]

    def record(self, index: int) -> Record:
        """Return what a row means."""
        return to_record(self._rows[index], self.shape.kind)

    def prompts(self) -> list[str | list[dict[str, str]]]:
        """Return what a model is given to continue for each row, never the answer.

        A conversation gives its messages up to the assistant's last turn, a text the
        part before its target.
        """
        records = (self.record(index) for index in range(len(self)))
        return [
            _plain(record.prompt) if isinstance(record, Conversation) else record.prompt
            for record in records
        ]

    def select(self, indices: Sequence[int]) -> Self:
        """Return a dataset of some of the rows."""
        part = type(self).__new__(type(self))
        part.origin, part.shape = self.origin, self.shape
        part._rows = [self._rows[index] for index in indices]
        part._places = [self._places[index] for index in indices]
        return part

    @classmethod
    def joined(cls, datasets: Sequence["BaseDataset"]) -> Self:
        """Return the rows of several datasets of this class, one after another.

        Raises:
            DataError: their rows are not of one kind.
        """
        first = datasets[0]
        for other in datasets:
            if not isinstance(other, cls) or other.shape.kind != first.shape.kind:
                raise DataError(
                    f"{first.origin} has rows of the kind '{first.shape.kind}', "
                    f"{other.origin} of the kind '{other.shape.kind}'. Only rows of "
                    "one kind can be joined; convert one of them first."
                )
        whole = cls.__new__(cls)
        whole.origin = ", ".join(dict.fromkeys(each.origin for each in datasets))
        whole.shape = first.shape
        whole._rows = [row for each in datasets for row in each._rows]
        whole._places = [place for each in datasets for place in each._places]
        return whole

    def split(self, held_out: int, seed: int) -> tuple[Self, Self]:
        """Return two disjoint datasets; the second has `held_out` rows, chosen by seed.

        Both keep the order of the rows.
        """
        chosen = set(random.Random(seed).sample(range(len(self)), held_out))
        kept = [index for index in range(len(self)) if index not in chosen]
        return self.select(kept), self.select(sorted(chosen))

    def save(self, path: str | Path) -> None:
        """Write the rows to a new folder that `datasets.load_from_disk` opens.

        Raises:
            OutputError: the folder is in use.
        """
        from datasets import Dataset, DatasetDict

        with without_progress_bars(), new_folder(Path(path)) as draft:
            rows = Dataset.from_list(self._rows)
            DatasetDict({"train": rows}).save_to_disk(str(draft))


class InstructionDataset(BaseDataset):
    """Instructions or chats and their answers; only the answers are learnt.

    Rows have instruction/text/target, Alpaca's instruction/input/output, or messages.
    """

    config_name = "instruction_dataset"
    kinds = ("messages", "instruction")


class TextDataset(BaseDataset):
    """Plain texts to go on learning from, each with an optional target.

    Rows have a text, all of which is learnt; or a text and a target, of which the
    target is learnt.
    """

    config_name = "text_dataset"
    kinds = ("text",)


def open_dataset(source: object, limit: int | None = None) -> BaseDataset:
    """Return the rows of `source` as the kind of dataset that their columns call for.

    With `limit`, only that many rows from the start are read.
    """
    if limit is not None and limit < 1:
        raise DataError(f"A limit of {limit} leaves no rows; give 1 or more.")
    table = read_table(source)
    if limit is not None:
        lines = table.lines[:limit] if table.lines is not None else None
        table = Table(table.origin, table.rows[:limit], lines)
    classes = (InstructionDataset, TextDataset)
    every_kind: tuple[Kind, ...] = InstructionDataset.kinds + TextDataset.kinds
    shape = recognise(table.rows[0], every_kind, table.place(0))
    chosen = next(dataset for dataset in classes if shape.kind in dataset.kinds)
    return chosen._of(table)


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]
