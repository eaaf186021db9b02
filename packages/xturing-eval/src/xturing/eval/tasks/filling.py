"""A row in the words of its task: the prompt, the right answer and the choices.

Knows nothing of other rows.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from xturing.core.errors import DataError
from xturing.data.records import Message
from xturing.data.wording import brief
from xturing.eval.tasks.task import Task
from xturing.eval.tasks.templates import Row, evaluate, is_template, render

FEWEST_CHOICES = 2


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What a task makes of a row by itself."""

    prompt: str | tuple[Message, ...]
    reference: str | None
    choices: tuple[str, ...] = ()
    right: int | None = None


def fill(task: Task, row: Row, place: str) -> Filled:
    """Return a row in the task's words.

    Raises:
        DataError: the task does not go with the row.
    """
    choices = _choices(task, row, place)
    right = _right(task, choices, row, place) if choices else None
    if task.target is not None:
        reference = _target(task.target, row, place)
    else:
        reference = None if right is None else choices[right]
    return Filled(
        prompt=_prompt(task, row, place),
        reference=reference,
        choices=choices,
        right=right,
    )


def _prompt(task: Task, row: Row, place: str) -> str | tuple[Message, ...]:
    if task.prompt is not None:
        return render(task.prompt, row, "prompt", place)
    return tuple(
        Message(turn.role, render(turn.content, row, "messages", place))
        for turn in task.messages or ()
    )


def _target(target: str, row: Row, place: str) -> str:
    if is_template(target):
        return render(target, row, "target", place)
    value = evaluate(target, row, "target", place)
    if isinstance(value, list | tuple) and value:
        value = value[0]
    return _text(value, "target", place)


def _choices(task: Task, row: Row, place: str) -> tuple[str, ...]:
    if task.choices is None:
        return ()
    if isinstance(task.choices, list):
        values: object = [render(each, row, "choices", place) for each in task.choices]
    else:
        values = evaluate(task.choices, row, "choices", place)
    if not isinstance(values, Iterable) or isinstance(values, str | Mapping):
        raise DataError(
            f"{place}: the task's 'choices' come to {brief(values)}, which is no list."
        )
    choices = tuple(_text(value, "choices", place) for value in values)
    if len(choices) < FEWEST_CHOICES:
        raise DataError(
            f"{place}: the task's 'choices' come to {len(choices)}; a question needs "
            f"{FEWEST_CHOICES} or more."
        )
    return choices


def _right(task: Task, choices: tuple[str, ...], row: Row, place: str) -> int:
    given = task.right
    value = evaluate(given, row, "right", place) if isinstance(given, str) else given
    index = _index(value, choices)
    if index is None:
        raise DataError(
            f"{place}: the task's 'right' comes to {brief(value)}, which is none of "
            f"the {len(choices)} choices. Give an index from 0 on (for digits in "
            "quotes: name | int), a letter from A on, or the text of a choice."
        )
    return index


def _index(value: object, choices: tuple[str, ...]) -> int | None:
    if isinstance(value, int):
        return int(value) if 0 <= value < len(choices) else None
    if not isinstance(value, str):
        return None
    texts = [choice.strip() for choice in choices]
    if value.strip() in texts:
        return texts.index(value.strip())
    letters = [chr(ord("A") + number) for number in range(len(choices))]
    return letters.index(value.strip()) if value.strip() in letters else None


def _text(value: object, field: str, place: str) -> str:
    match value:
        case str():
            return value
        case bool() | int() | float():
            return str(value)
        case Mapping():
            return json.dumps(value, ensure_ascii=False)
    raise DataError(
        f"{place}: the task's '{field}' comes to {brief(value)}, which is no text."
    )
