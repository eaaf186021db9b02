"""Prompts that users write by hand: literal text with the places of a row's fields.

A row's own text is put in as it is; braces in it mean nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Protocol

from xturing.core.errors import DataError
from xturing.core.names import suggestion
from xturing.data.fields import Row
from xturing.data.wording import brief

FIELDS = ("instruction", "text", "target")


class Prompt(Protocol):
    """What writes the text around a row's target."""

    def around(self, row: Row) -> tuple[str, str]:
        """Return what stands before the row's target and what stands after it."""
        ...

    def check(self, row: Row, place: str) -> None:
        """Raise `DataError` if a row does not go with the prompt."""
        ...


@dataclass(frozen=True)
class PromptTemplate:
    """One prompt for all rows, such as "Do: {instruction} With: {text} Answer: "."""

    pieces: tuple[tuple[str, str | None], ...]
    """Literal texts, each with the field that comes after it, if one does."""

    @classmethod
    def parse(cls, template: str) -> "PromptTemplate":
        """Return the template that a text in the form of `str.format` is.

        `{instruction}` is needed; `{text}` is where rows have a text; the target comes
        at the end, unless there is a `{target}`. Braces that mean themselves are
        doubled.

        Raises:
            DataError: a field is missing, unknown or more than a name.
        """
        try:
            found = list(Formatter().parse(template))
        except ValueError as error:
            raise DataError(
                f"The prompt template {brief(template)} cannot be read: {error}. Write "
                "{{ and }} for braces that are part of the text."
            ) from error
        for _, name, form, conversion in found:
            if name is not None and (name not in FIELDS or form or conversion):
                raise DataError(
                    f"The prompt template {brief(template)} has the field "
                    f"'{{{name}}}'. {suggestion(name, FIELDS)} A field is a name alone."
                )
        names = [name for _, name, _, _ in found]
        if "instruction" not in names or names.count("target") > 1:
            raise DataError(
                f"The prompt template {brief(template)} needs the field "
                "{instruction}, {text} too if rows have a text, and at most one "
                "{target}."
            )
        return cls(tuple((literal, name) for literal, name, _, _ in found))

    def around(self, row: Row) -> tuple[str, str]:
        """Return what stands before the row's target and what stands after it."""
        return _around(self.pieces, row)

    def check(self, row: Row, place: str) -> None:
        """Raise `DataError` if the row has a text that the template would lose."""
        _refuse_earlier_turns(row, place)
        if row["text"] and all(name != "text" for _, name in self.pieces):
            raise DataError(
                f"{place} has the text {brief(row['text'])}, but the prompt template "
                "has no {text}, so it would be lost. Put {text} into the template."
            )


@dataclass(frozen=True)
class InfixPrompt:
    """A prompt of each row's own: its instruction, with {text} and {target} in it."""

    def around(self, row: Row) -> tuple[str, str]:
        """Return what stands before the row's target and what stands after it."""
        before, _, rest = row["instruction"].partition("{text}")
        between, _, after = rest.partition("{target}")
        return _around(((before, "text"), (between, "target"), (after, None)), row)

    def check(self, row: Row, place: str) -> None:
        """Raise `DataError` unless there is one {text} and after it one {target}."""
        _refuse_earlier_turns(row, place)
        before, _, rest = row["instruction"].partition("{text}")
        has_each_once = "{text}" not in rest and rest.count("{target}") == 1
        if "{target}" in before or not has_each_once:
            raise DataError(
                f"{place}: the instruction {brief(row['instruction'])} needs exactly "
                "one {text} and after it exactly one {target}, because "
                "infix_instruction is set."
            )


def _around(pieces: tuple[tuple[str, str | None], ...], row: Row) -> tuple[str, str]:
    before: list[str] = []
    after: list[str] = []
    side = before
    for literal, name in pieces:
        side.append(literal)
        if name == "target":
            side = after
        elif name is not None:
            side.append(row[name])
    return "".join(before), "".join(after)


def _refuse_earlier_turns(row: Mapping[str, object], place: str) -> None:
    for column in ("messages", "system", "history"):
        if row.get(column):
            raise DataError(
                f"{place} has '{column}', which a prompt written by hand has no place "
                "for. Leave the prompt out, so that the chat template writes the row."
            )
