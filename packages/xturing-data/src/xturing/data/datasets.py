"""Rows that have been checked, ready to be encoded.

A dataset knows what its rows mean and where each came from; it knows nothing of tokens.
"""

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from xturing.core.errors import DataError
from xturing.core.files import new_folder
from xturing.data.decisions import recognise
from xturing.data.prompts import InfixPrompt, Prompt, PromptTemplate
from xturing.data.quiet import without_progress_bars
from xturing.data.records import Document, Message, Record
from xturing.data.shapes import Kind, read_row, to_record
from xturing.data.sources import Table, read_table
from xturing.data.turns import call_object


class BaseDataset:
    """Rows of one shape.

    `source` is a .json or .jsonl file, a saved folder, a dict of lists, a list of rows,
    a `datasets.Dataset` or a `DatasetDict` with a train split. `shape` forces a shape
    by its name; `columns` tells what the rows call a shape's columns:
    {"instruction": "question"}.

    Raises:
        DataError: it cannot be read, or a row is wrong; the message names file, row and
            field.
    """

    config_name: ClassVar[str]
    kinds: ClassVar[tuple[Kind, ...]]

    def __init__(
        self,
        source: object,
        *,
        shape: str | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        self._adopt(read_table(source), shape, columns)

    @classmethod
    def _of(
        cls,
        table: Table,
        shape: str | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> Self:
        dataset = cls.__new__(cls)
        dataset._adopt(table, shape, columns)
        return dataset

    def _adopt(
        self,
        table: Table,
        shape_name: str | None,
        columns: Mapping[str, str] | None,
    ) -> None:
        shape = recognise(
            table.rows[0],
            self.kinds,
            table.place(0),
            shape=shape_name,
            columns=columns,
        )
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

    def prompts(self) -> list[str | list[dict[str, Any]]]:
        """Return what a model is given to continue for each row, never the answer.

        A conversation gives its messages up to the assistant's last turn, a text the
        part before its target.
        """
        records = (self.record(index) for index in range(len(self)))
        return [
            record.prompt
            if isinstance(record, Document)
            else [_spoken(message) for message in record.prompt]
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
        source: object,
        infix_instruction: bool = False,
        promt_template: str | None = None,
        *,
        prompt_template: str | None = None,
        shape: str | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(source, shape=shape, columns=columns)
        template = promt_template if prompt_template is None else prompt_template
        if template is not None:
            self.prompt_template = PromptTemplate.parse(template)
        elif infix_instruction:
            self.prompt_template = InfixPrompt()
        if self.prompt_template is not None:
            for row, place in zip(self._rows, self._places, strict=True):
                self.prompt_template.check(row, place)

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
    rejected, or chosen/rejected that begin with the same turns.
    """

    config_name = "preference_dataset"
    kinds = ("preference",)


class JudgementDataset(BaseDataset):
    """Prompts and answers, each with a label that tells whether it is wanted.

    Rows have prompt/completion/label, as KTO takes them.
    """

    config_name = "judgement_dataset"
    kinds = ("judgement",)


def open_dataset(
    source: object,
    limit: int | None = None,
    *,
    shape: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> BaseDataset:
    """Return the rows of `source` as the kind of dataset that their columns call for.

    With `limit`, only that many rows from the start are read. For `shape` and
    `columns` see `BaseDataset`.
    """
    if limit is not None and limit < 1:
        raise DataError(f"A limit of {limit} leaves no rows; give 1 or more.")
    table = read_table(source)
    if limit is not None:
        lines = table.lines[:limit] if table.lines is not None else None
        table = Table(table.origin, table.rows[:limit], lines)
    classes = (InstructionDataset, TextDataset, PreferenceDataset, JudgementDataset)
    found = recognise(
        table.rows[0],
        tuple(kind for dataset in classes for kind in dataset.kinds),
        table.place(0),
        shape=shape,
        columns=columns,
    )
    chosen = next(dataset for dataset in classes if found.kind in dataset.kinds)
    return chosen._of(table, shape, columns)


def _spoken(message: Message) -> dict[str, Any]:
    """Return a message as chat templates take it."""
    spoken: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        spoken["tool_calls"] = [
            {"type": "function", "function": call_object(call)}
            for call in message.tool_calls
        ]
    return spoken
