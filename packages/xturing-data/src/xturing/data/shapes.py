"""How rows may look, and what each look means.

A shape is recognised by the names of a row's columns. Most shapes are only other names
for the columns of their kind, so they are rows of a table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from xturing.core.errors import DataError
from xturing.data.fields import Fields, Row
from xturing.data.records import Record
from xturing.data.rows import (
    read_completion,
    read_conversation,
    read_instruction,
    read_judgement,
    read_preference,
    read_seed_task,
    read_text,
    to_conversation,
    to_document,
    to_judgement,
    to_preference,
    to_question,
    verdict,
)

Kind = Literal["instruction", "messages", "text", "preference", "judgement"]

DATASETS: Mapping[Kind, str] = {
    "instruction": "InstructionDataset",
    "messages": "InstructionDataset",
    "text": "TextDataset",
    "preference": "PreferenceDataset",
    "judgement": "JudgementDataset",
}
"""The dataset that holds rows of each kind."""

_RECORDS: Mapping[Kind, Callable[[Row], Record]] = {
    "instruction": to_question,
    "messages": to_conversation,
    "text": to_document,
    "preference": to_preference,
    "judgement": to_judgement,
}

PICTURES = ("images", "image", "videos", "audios")
BEFORE = {"system": "system", "history": "history"}
AROUND = {"system": "system", "tools": "tools"}
VERDICT = {"label": ("kto_tag",)}
"""What LLaMA-Factory calls the column that says whether an answer is wanted."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Column names, and which of our columns each of them fills."""

    name: str
    kind: Kind
    read: Callable[[Fields], dict[str, Any]]
    """What reads a row of this shape into our columns."""
    columns: Mapping[str, str]
    """Our column -> the row's column, for those that every row has."""
    optional: Mapping[str, str] = field(default_factory=dict)
    """The same for columns that may be missing or empty."""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Our column -> what else rows may call it."""
    unsupported: tuple[str, ...] = ()
    """Columns whose content would be lost, so rows that fill them are refused."""
    reason: str = field(default="", compare=False)
    """Why rows were taken for this shape."""

    @property
    def decision(self) -> str:
        """The shape and why it was chosen, in one sentence."""
        return f"{self.name}, because {self.reason}"

    @property
    def names(self) -> Mapping[str, str]:
        """Our column -> the row's column."""
        return {**self.columns, **self.optional}

    def called_as_in(self, row: Row) -> "Shape":
        """Return this shape with the names that the row has for its columns."""
        columns = {
            ours: next(
                (name for name in (its, *self.aliases.get(ours, ())) if name in row),
                its,
            )
            for ours, its in self.columns.items()
        }
        return replace(self, columns=columns)

    def fits(self, row: Row) -> bool:
        """Tell whether the row has every column of this shape."""
        return all(column in row for column in self.columns.values())

    def suits(self, row: Row) -> bool:
        """Tell whether a row that fits may be meant so, by what is in it.

        Topics and classes are called labels as often as verdicts are.
        """
        return (
            self.kind != "judgement" or verdict(row[self.columns["label"]]) is not None
        )

    def used(self, row: Row) -> frozenset[str]:
        """Return the columns of the row that this shape reads."""
        return frozenset(column for column in self.names.values() if column in row)

    def __str__(self) -> str:
        optional = [f"[{column}]" for column in self.optional.values()]
        return "/".join([*self.columns.values(), *optional])


SHAPES = (
    Shape(
        name="messages",
        kind="messages",
        read=read_conversation,
        columns={"messages": "messages"},
        optional=AROUND,
        unsupported=PICTURES,
    ),
    Shape(
        name="sharegpt",
        kind="messages",
        read=read_conversation,
        columns={"messages": "conversations"},
        optional=AROUND,
        unsupported=PICTURES,
    ),
    Shape(
        name="xturing",
        kind="instruction",
        read=read_instruction,
        columns={"instruction": "instruction", "target": "target"},
        optional={"text": "text", **BEFORE},
        unsupported=("tools", *PICTURES),
    ),
    Shape(
        name="alpaca",
        kind="instruction",
        read=read_instruction,
        columns={"instruction": "instruction", "target": "output"},
        optional={"text": "input", **BEFORE},
        unsupported=("tools", *PICTURES),
    ),
    Shape(
        name="question_answer",
        kind="instruction",
        read=read_instruction,
        columns={"instruction": "question", "target": "answer"},
        optional=BEFORE,
        unsupported=("tools", *PICTURES),
    ),
    Shape(
        name="seed_tasks",
        kind="instruction",
        read=read_seed_task,
        columns={"instruction": "instruction", "instances": "instances"},
    ),
    Shape(
        name="prompt_completion",
        kind="messages",
        read=read_completion,
        columns={"prompt": "prompt", "completion": "completion"},
        optional=AROUND,
        unsupported=PICTURES,
    ),
    Shape(
        name="text",
        kind="text",
        read=read_text,
        columns={"text": "text"},
        optional={"target": "target"},
    ),
    Shape(
        name="preference",
        kind="preference",
        read=read_preference,
        columns={"chosen": "chosen", "rejected": "rejected"},
        optional={"prompt": "prompt", **AROUND},
        unsupported=PICTURES,
    ),
    Shape(
        name="sharegpt_preference",
        kind="preference",
        read=read_preference,
        columns={
            "prompt": "conversations",
            "chosen": "chosen",
            "rejected": "rejected",
        },
        optional=AROUND,
        unsupported=PICTURES,
    ),
    Shape(
        name="alpaca_preference",
        kind="preference",
        read=read_preference,
        columns={
            "instruction": "instruction",
            "chosen": "chosen",
            "rejected": "rejected",
        },
        optional={"text": "input", **BEFORE, **AROUND},
        unsupported=PICTURES,
    ),
    Shape(
        name="kto",
        kind="judgement",
        read=read_judgement,
        columns={"prompt": "prompt", "completion": "completion", "label": "label"},
        optional=AROUND,
        aliases=VERDICT,
        unsupported=PICTURES,
    ),
    Shape(
        name="messages_kto",
        kind="judgement",
        read=read_judgement,
        columns={"messages": "messages", "label": "label"},
        optional=AROUND,
        aliases=VERDICT,
        unsupported=PICTURES,
    ),
    Shape(
        name="sharegpt_kto",
        kind="judgement",
        read=read_judgement,
        columns={"messages": "conversations", "label": "label"},
        optional=AROUND,
        aliases=VERDICT,
        unsupported=PICTURES,
    ),
    Shape(
        name="alpaca_kto",
        kind="judgement",
        read=read_judgement,
        columns={
            "instruction": "instruction",
            "completion": "output",
            "label": "label",
        },
        optional={"text": "input", **BEFORE, **AROUND},
        aliases=VERDICT,
        unsupported=PICTURES,
    ),
)


def read_row(row: Row, shape: Shape, place: str) -> dict[str, Any]:
    """Return the row in our columns, every field of it checked.

    Raises:
        DataError: a field is missing, empty or of a wrong type; the message names it.
    """
    for column in shape.unsupported:
        if row.get(column):
            raise DataError(
                f"{place} has '{column}', which rows of the shape {shape.name} have no "
                "place for, so it would be lost. Leave it out"
                f"{', or write such rows as messages' if column == 'tools' else ''}."
            )
    return shape.read(Fields(row, shape.names, place))


def to_record(row: Row, kind: Kind) -> Record:
    """Return what a row in our columns means."""
    return _RECORDS[kind](row)
