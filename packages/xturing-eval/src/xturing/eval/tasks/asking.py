"""The questions of a task: its rows in its words, with examples before them."""

from collections.abc import Sequence

from xturing.core.errors import DataError
from xturing.data.records import Conversation, Document, Message
from xturing.data.turns import spoken
from xturing.eval.questions import Question
from xturing.eval.tasks.answered import answered
from xturing.eval.tasks.few_shot import Examples, chat_with, text_with
from xturing.eval.tasks.filling import Filled, fill
from xturing.eval.tasks.rows import (
    PlacedRow,
    example_rows,
    has_own_examples,
    task_rows,
)
from xturing.eval.tasks.task import Task


def questions_of(
    task: Task, *, limit: int | None = None, seed: int = 0
) -> list[Question]:
    """Return what a task asks; with a limit, what it asks of its first rows.

    The seed decides which rows are examples, and nothing else.

    Raises:
        DataError: the rows cannot be read, or the task does not go with one.
    """
    check_limit(limit)
    shares = task.few_shot > 0 and not has_own_examples(task)
    # A limit must not change which rows there are to choose examples from.
    rows = task_rows(task, None if shares else limit)
    pool = example_rows(task) if has_own_examples(task) else rows
    examples = Examples(task, pool, seed)
    return [
        _question(task, index, placed, examples.before(*placed))
        for index, placed in enumerate(rows[:limit])
    ]


def check_limit(limit: int | None) -> None:
    """Raise `DataError` if a limit leaves no rows."""
    if limit is not None and limit < 1:
        raise DataError(f"A limit of {limit} leaves no rows; give 1 or more.")


def _question(
    task: Task, index: int, placed: PlacedRow, examples: Sequence[Filled]
) -> Question:
    row, place = placed
    filled = fill(task, row, place)
    reference, choices = filled.reference, filled.choices
    if isinstance(filled.prompt, str):
        prompt = text_with(examples, filled.prompt, task.delimiter)
        record = _continued(prompt, reference, task.delimiter)
        choices = tuple(f"{task.delimiter}{choice}" for choice in choices)
        # A text that follows nothing is no answer.
        reference = reference if prompt else None
    else:
        turns = chat_with(examples, filled.prompt)
        prompt = [spoken(turn) for turn in turns]
        record = _replied(turns, reference)
    return Question(
        row=index,
        place=place,
        prompt=prompt,
        record=record,
        reference=reference,
        choices=choices,
        right=filled.right,
        fields=row,
    )


def _continued(prompt: str, reference: str | None, delimiter: str) -> Document | None:
    if reference is None:
        return None
    return Document(f"{delimiter}{reference}" if prompt else reference, prompt=prompt)


def _replied(turns: Sequence[Message], reference: str | None) -> Conversation | None:
    if reference is None:
        return None
    return answered(turns, Message("assistant", reference))
