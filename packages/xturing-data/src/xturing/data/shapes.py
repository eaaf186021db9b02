"""How rows may look, and what each look means.

A shape is recognised by the names of a row's columns. Most shapes are only other names
for the columns `instruction`, `text` and `target`, so they are rows of a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from xturing.core.errors import DataError
from xturing.data.records import ROLES, Conversation, Document, Message, Record

Row = Mapping[str, Any]
Kind = Literal["instruction", "messages", "text"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Column names, and which of our columns each of them fills."""

    name: str
    kind: Kind
    columns: Mapping[str, str] = field(default_factory=dict)
    """Our column -> the row's column, for those that every row has."""
    optional: Mapping[str, str] = field(default_factory=dict)
    """The same for columns that may be missing or empty."""
    unsupported: tuple[str, ...] = ()
    """Columns whose content would be lost, so rows that fill them are refused."""

    def fits(self, row: Row) -> bool:
        """Tell whether the row has every column of this shape."""
        return all(column in row for column in self.columns.values())


SHAPES = (
    Shape(
        name="messages",
        kind="messages",
        columns={"messages": "messages"},
        unsupported=("tools", "system"),
    ),
    Shape(
        name="xturing",
        kind="instruction",
        columns={"instruction": "instruction", "target": "target"},
        optional={"text": "text"},
        unsupported=("system", "history"),
    ),
    Shape(
        name="alpaca",
        kind="instruction",
        columns={"instruction": "instruction", "target": "output"},
        optional={"text": "input"},
        unsupported=("system", "history"),
    ),
    Shape(
        name="text",
        kind="text",
        columns={"text": "text"},
        optional={"target": "target"},
    ),
)


def recognise(row: Row, kinds: tuple[Kind, ...], place: str) -> Shape:
    """Return the first shape of the given kinds that the row fits.

    Raises:
        DataError: it fits none; the message lists what would be right.
    """
    candidates = [shape for shape in SHAPES if shape.kind in kinds]
    for shape in candidates:
        if shape.fits(row):
            return shape
    wanted = " or ".join(
        "/".join(
            [*shape.columns.values(), *(f"[{c}]" for c in shape.optional.values())]
        )
        for shape in candidates
    )
    raise DataError(
        f"{place} has the columns {_listed(row)}. A row here has {wanted} "
        "(those in brackets may be left out); rename the columns to one of these."
    )


def read_row(row: Row, shape: Shape, place: str) -> dict[str, Any]:
    """Return the row in our columns, every field of it checked.

    Raises:
        DataError: a field is missing, empty or no string; the message names it.
    """
    for column in shape.unsupported:
        if row.get(column):
            raise DataError(
                f"{place} has '{column}', which this kind of dataset would lose. "
                "Write such rows as 'messages'."
            )
    if shape.kind == "messages":
        return {"messages": _messages(row, place)}
    values = {
        ours: _string(row, theirs, place) for ours, theirs in shape.columns.items()
    }
    for ours, theirs in shape.optional.items():
        missing = row.get(theirs) is None
        values[ours] = "" if missing else _string(row, theirs, place)
    if shape.kind == "text":
        # An empty text before a target is how plain corpora used to be written.
        _filled(values["target"] or values["text"], "text", place)
    else:
        _filled(values["instruction"], shape.columns["instruction"], place)
        _filled(values["target"], shape.columns["target"], place)
    return values


def to_record(row: Row, kind: Kind) -> Record:
    """Return what a row in our columns means."""
    if kind == "messages":
        return Conversation(
            tuple(Message(turn["role"], turn["content"]) for turn in row["messages"])
        )
    if kind == "text":
        if row["target"]:
            return Document(row["target"], prompt=row["text"])
        return Document(row["text"])
    asked = "\n".join(part for part in (row["instruction"], row["text"]) if part)
    return Conversation((Message("user", asked), Message("assistant", row["target"])))


def _messages(row: Row, place: str) -> list[dict[str, str]]:
    turns = row["messages"]
    if not isinstance(turns, list | tuple) or not turns:
        raise DataError(f"{place}, field 'messages': this is {turns!r}, not a list.")
    messages = []
    for number, turn in enumerate(turns, start=1):
        where = f"{place}, message {number}"
        if not isinstance(turn, Mapping):
            raise DataError(
                f"{where} is {turn!r}. A message has a 'role' and a 'content'."
            )
        role = _string(turn, "role", where)
        if role not in ROLES:
            raise DataError(
                f"{where} has the role '{role}'; a role is one of {', '.join(ROLES)}."
            )
        if turn.get("tool_calls"):
            raise DataError(f"{where} has 'tool_calls', which would be lost.")
        content = _string(turn, "content", where)
        messages.append({"role": role, "content": _filled(content, "content", where)})
    if messages[0]["role"] == "assistant":
        raise DataError(
            f"{place}, message 1 is the assistant's, so it answers nothing. Begin with "
            "what the user or the system said."
        )
    if not any(message["role"] == "assistant" for message in messages):
        raise DataError(
            f"{place} has no message of the assistant, so there is nothing to learn."
        )
    return messages


def _string(row: Row, column: str, place: str) -> str:
    if column not in row:
        raise DataError(
            f"{place} has no field '{column}' (it has {_listed(row)}). "
            "Every row needs the columns of the first one."
        )
    value = row[column]
    if not isinstance(value, str):
        raise DataError(
            f"{place}, field '{column}': this is {value!r} "
            f"({type(value).__name__}), not a string."
        )
    return value


def _filled(value: str, column: str, place: str) -> str:
    if not value.strip():
        raise DataError(f"{place}, field '{column}' is empty.")
    return value


def _listed(row: Row) -> str:
    return ", ".join(f"'{column}'" for column in row) or "no columns"
