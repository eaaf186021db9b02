"""Rows that have been checked, ready to be encoded.

A dataset knows what its rows mean and where each came from; it knows nothing of tokens.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Self

from xturing.core.errors import DataError
from xturing.core.files import new_folder
from xturing.data.quiet import without_progress_bars
from xturing.data.records import Document, Judgement, Message, Placed, Record
from xturing.data.shapes import Kind, Shape, read_row, recognise, to_record
from xturing.data.sources import Options, Table, open_table
from xturing.data.sources.unpacking import MAX_EXPANSION
from xturing.data.streams import Stream, first_shape, no_rows


class BaseDataset:
    """Rows of one shape.

    `path` is a file, a folder, the id of a dataset of the hub, a dict of lists, a list
    of rows or an object of the `datasets` library. What it is shows in its name or its
    content, unless `source` names one of `xturing.data.sources.SOURCES`. Of a source
    in several parts, `split` names the one to read. A packed file may unpack to
    `max_expansion` times its size.

    Raises:
        DataError: it cannot be read, or a row is wrong; the message names file, row and
            field.
        UnknownNameError: there is no such source.
    """

    config_name: ClassVar[str]
    kinds: ClassVar[tuple[Kind, ...]]

    def __init__(
        self,
        path: object,
        *,
        source: str | None = None,
        split: str | None = None,
        max_expansion: int = MAX_EXPANSION,
    ) -> None:
        options = Options(split=split, max_expansion=max_expansion)
        self._adopt(open_table(path, source, options))

    @classmethod
    def _of(cls, table: Table, limit: int | None = None) -> Self:
        dataset = cls.__new__(cls)
        dataset._adopt(table, limit)
        return dataset

    def _adopt(self, table: Table, limit: int | None = None) -> None:
        self.origin = table.origin
        self.read_as = table.read_as
        self._rows: list[dict[str, Any]] = []
        self._places: list[str] = []
        shape: Shape | None = None
        for row, place in islice(table.rows(), limit):
            shape = shape or recognise(row, self.kinds, place)
            self._rows.append(read_row(row, shape, place))
            self._places.append(place)
        if shape is None:
            raise no_rows(table)
        self.shape = shape

    @property
    def kind(self) -> Kind:
        """What the rows mean."""
        return self.shape.kind

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

    def records(self) -> Iterator[Placed]:
        """Yield what each row means, and where it came from."""
        for row, place in zip(self._rows, self._places, strict=True):
            yield Placed(to_record(row, self.kind), place)

    def prompts(self) -> list[str | list[dict[str, str]]]:
        """Return what a model is given to continue for each row, never the answer.

        A conversation gives its messages up to the assistant's last turn, a text the
        part before its target.
        """
        return [_prompt(placed.record) for placed in self.records()]

    def select(self, indices: Sequence[int]) -> Self:
        """Return a dataset of some of the rows."""
        part = type(self).__new__(type(self))
        part.origin, part.read_as = self.origin, self.read_as
        part.shape = self.shape
        part._rows = [self._rows[index] for index in indices]
        part._places = [self._places[index] for index in indices]
        return part

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


CLASSES: tuple[type[BaseDataset], ...] = (InstructionDataset, TextDataset)
"""The kinds of dataset that are told apart by their columns."""


def open_dataset(
    path: object,
    limit: int | None = None,
    *,
    source: str | None = None,
    split: str | None = None,
    max_expansion: int = MAX_EXPANSION,
) -> BaseDataset:
    """Return the rows of `path` as the kind of dataset that their columns call for.

    With `limit`, only that many rows from the start are read. The other arguments are
    those of `BaseDataset`.

    Raises:
        DataError: it cannot be read, or a row is wrong.
        UnknownNameError: there is no such source.
    """
    if limit is not None and limit < 1:
        raise DataError(f"A limit of {limit} leaves no rows; give 1 or more.")
    options = Options(
        split=split, max_expansion=max_expansion, is_streamed=limit is not None
    )
    table = open_table(path, source, options)
    shape = first_shape(table, every_kind())
    chosen = next(dataset for dataset in CLASSES if shape.kind in dataset.kinds)
    return chosen._of(table, limit)


def open_stream(
    path: object,
    *,
    source: str | None = None,
    split: str | None = None,
    max_expansion: int = MAX_EXPANSION,
) -> Stream:
    """Return the rows of `path` as a stream that holds none of them.

    Only the first row is read at once; the others are checked as they come. The
    arguments are those of `BaseDataset`.

    Raises:
        DataError: it cannot be read, or its first row is wrong.
        UnknownNameError: there is no such source.
    """
    options = Options(split=split, max_expansion=max_expansion, is_streamed=True)
    table = open_table(path, source, options)
    return Stream(table, first_shape(table, every_kind()))


def every_kind() -> tuple[Kind, ...]:
    """Return the kinds of rows that any dataset takes."""
    return tuple(kind for dataset in CLASSES for kind in dataset.kinds)


def _prompt(record: Record) -> str | list[dict[str, str]]:
    if isinstance(record, Document):
        return record.prompt
    if isinstance(record, Judgement):
        record = record.conversation
    return _plain(record.prompt)


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]
