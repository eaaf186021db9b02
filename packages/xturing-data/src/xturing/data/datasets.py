"""Rows that have been checked, ready to be encoded.

A dataset knows what its rows mean and where each came from; it knows nothing of tokens.
"""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Self, Unpack

from xturing.core.errors import DataError
from xturing.core.extras import service
from xturing.core.files import new_folder
from xturing.data.prompts import InfixPrompt, Prompt, PromptTemplate
from xturing.data.quiet import without_progress_bars
from xturing.data.reading import Reading, ReadingOptions
from xturing.data.records import Document, Placed, Record
from xturing.data.shapes import Kind, Shape, read_row, to_record
from xturing.data.sources import Table
from xturing.data.streams import Stream, first_shape, no_rows
from xturing.data.turns import spoken


class BaseDataset:
    """Rows of one shape.

    `path` is a file, a folder, the id of a dataset of the hub, a dict of lists, a list
    of rows or an object of the `datasets` library. The other arguments are those of
    `Reading`; what they leave open shows in names and content.

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
        **options: Unpack[ReadingOptions],
    ) -> None:
        reading = Reading(**options)
        self._adopt(reading.open(path), reading)

    @classmethod
    def _of(cls, table: Table, reading: Reading, limit: int | None) -> Self:
        dataset = cls.__new__(cls)
        dataset._adopt(table, reading, limit)
        return dataset

    def _adopt(self, table: Table, reading: Reading, limit: int | None = None) -> None:
        self.origin = table.origin
        self.read_as = table.read_as
        self._rows: list[dict[str, Any]] = []
        self._places: list[str] = []
        shape: Shape | None = None
        for row, place in islice(table.rows(), limit):
            shape = shape or reading.shape_of(row, self.kinds, place)
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

    @property
    def decision(self) -> str:
        """The shape of the rows and why it was chosen, in one sentence."""
        return self.shape.decision

    def place(self, index: int) -> str:
        """Return the file and line a row came from."""
        return self._places[index]

    def record(self, index: int) -> Record:
        """Return what a row means."""
        return to_record(self._rows[index], self.shape.kind)

    def records(self) -> Iterator[Placed]:
        """Yield what each row means, and where it came from."""
        for index, place in enumerate(self._places):
            yield Placed(self.record(index), place)

    def prompts(self) -> list[str | list[dict[str, Any]]]:
        """Return what a model is given to continue for each row, never the answer.

        A conversation gives its messages up to the assistant's last turn, a text the
        part before its target.
        """
        records = (self.record(index) for index in range(len(self)))
        return [
            record.prompt
            if isinstance(record, Document)
            else [spoken(message) for message in record.prompt]
            for record in records
        ]

    def select(self, indices: Sequence[int]) -> Self:
        """Return a dataset of some of the rows."""
        part = copy.copy(self)
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
        vars(whole).update(vars(first))
        whole.origin = ", ".join(dict.fromkeys(each.origin for each in datasets))
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
            # The first row alone would decide which columns there are.
            names = dict.fromkeys(name for row in self._rows for name in row)
            rows = Dataset.from_dict(
                {name: [row.get(name) for row in self._rows] for name in names}
            )
            DatasetDict({"train": rows}).save_to_disk(str(draft))


class InstructionDataset(BaseDataset):
    """Instructions or chats and their answers; only the answers are learnt.

    With `infix_instruction`, each instruction is a prompt of its own with {text} and
    {target} in it. `prompt_template` is one prompt for all rows, with {instruction} and
    {text}; `promt_template` is its old name. Rows are then written as that prompt says,
    not by a chat template.

    Raises:
        DataError: see `BaseDataset`; or the prompt does not go with a row.
    """

    config_name = "instruction_dataset"
    kinds = ("messages", "instruction")
    prompt_template: Prompt | None = None

    def __init__(
        self,
        path: object,
        infix_instruction: bool = False,
        promt_template: str | None = None,
        *,
        prompt_template: str | None = None,
        **options: Unpack[ReadingOptions],
    ) -> None:
        super().__init__(path, **options)
        template = promt_template if prompt_template is None else prompt_template
        if template is not None:
            self.prompt_template = PromptTemplate.parse(template)
        elif infix_instruction:
            self.prompt_template = InfixPrompt()
        if self.prompt_template is not None:
            for row, place in zip(self._rows, self._places, strict=True):
                self.prompt_template.check(row, place)

    @staticmethod
    def generate_dataset(
        path: str | Path, engine: object, *numbers: int, **options: object
    ) -> "InstructionDataset":
        """Make a dataset from seed tasks by Self-Instruct, and return it.

        `engine` is a text generation engine, such as "openai:gpt-4.1-mini"; the other
        arguments are those of `xturing.selfinstruct.generate_dataset`.

        Raises:
            MissingDependencyError: xturing-selfinstruct is not installed.
        """
        return _generator("self_instruct")(path, engine, *numbers, **options)

    @staticmethod
    def generate_dataset_from_dir(
        path: str | Path, engine: object, *numbers: int, **options: object
    ) -> "InstructionDataset":
        """Make a dataset of questions that a folder's files answer, and return it.

        The other arguments are those of
        `xturing.selfinstruct.generate_dataset_from_dir`.

        Raises:
            MissingDependencyError: xturing-selfinstruct is not installed.
        """
        return _generator("documents")(path, engine, *numbers, **options)

    def record(self, index: int) -> Record:
        """Return what a row means."""
        if self.prompt_template is None:
            return super().record(index)
        row = self._rows[index]
        # What stands behind the target is left out: the model stops before it, so
        # nothing of it could be learnt.
        before, _ = self.prompt_template.around(row)
        return Document(row["target"], prompt=before)


class TextDataset(BaseDataset):
    """Plain texts to go on learning from, each with an optional target.

    Rows have a text, all of which is learnt; or a text and a target, of which the
    target is learnt.
    """

    config_name = "text_dataset"
    kinds = ("text",)


class PreferenceDataset(BaseDataset):
    """Prompts, each with an answer that was chosen and one that was rejected.

    Rows have prompt/chosen/rejected as strings or messages, conversations/chosen/
    rejected, instruction/chosen/rejected, or chosen/rejected that begin with the same
    turns.
    """

    config_name = "preference_dataset"
    kinds = ("preference",)


class JudgementDataset(BaseDataset):
    """Prompts and answers, each with a label that tells whether it is wanted.

    Rows have prompt/completion/label, as KTO takes them, or a chat or an instruction
    with its output, and a label.
    """

    config_name = "judgement_dataset"
    kinds = ("judgement",)


CLASSES: tuple[type[BaseDataset], ...] = (
    InstructionDataset,
    TextDataset,
    PreferenceDataset,
    JudgementDataset,
)
"""The kinds of dataset that are told apart by their columns."""


def open_dataset(
    path: object, limit: int | None = None, **options: Unpack[ReadingOptions]
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
    reading = Reading(**options)
    table = reading.open(path, is_streamed=limit is not None)
    shape = first_shape(table, every_kind(), reading)
    chosen = next(dataset for dataset in CLASSES if shape.kind in dataset.kinds)
    return chosen._of(table, reading, limit)


def open_stream(path: object, **options: Unpack[ReadingOptions]) -> Stream:
    """Return the rows of `path` as a stream that holds none of them.

    Only the first row is read at once; the others are checked as they come. The
    arguments are those of `BaseDataset`.

    Raises:
        DataError: it cannot be read, or its first row is wrong.
        UnknownNameError: there is no such source.
    """
    reading = Reading(**options)
    table = reading.open(path, is_streamed=True)
    return Stream(table, first_shape(table, every_kind(), reading))


def every_kind() -> tuple[Kind, ...]:
    """Return the kinds of rows that any dataset takes."""
    return tuple(kind for dataset in CLASSES for kind in dataset.kinds)


def _generator(name: str) -> Callable[..., InstructionDataset]:
    return service("xturing.dataset_generators", name, "xturing-selfinstruct")
