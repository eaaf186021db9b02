"""Rows with their answers, as examples before a question.

The seed puts the rows in an order, and each question gets the first of them that are
not its own. So nearly all questions have the same examples, and a model differs by its
answers alone.
"""

import random
from collections.abc import Sequence
from itertools import islice

from xturing.core.errors import DataError
from xturing.data.records import Message
from xturing.eval.tasks.filling import Filled, fill
from xturing.eval.tasks.rows import PlacedRow
from xturing.eval.tasks.task import Task
from xturing.eval.tasks.templates import Row

SEPARATOR = "\n\n"
"""What stands between an example and what comes next, where there is no chat."""


class Examples:
    """Examples for the questions of a task, in the order of a seed."""

    def __init__(self, task: Task, rows: Sequence[PlacedRow], seed: int) -> None:
        self._task = task
        self._rows = random.Random(seed).sample(rows, len(rows))

    def before(self, row: Row, place: str) -> list[Filled]:
        """Return the examples for a row, none of which is equal to it.

        Raises:
            DataError: there are too few.
        """
        wanted = self._task.few_shot
        others = (each for each in self._rows if each[0] != row)
        found = [fill(self._task, *other) for other in islice(others, wanted)]
        if len(found) < wanted:
            raise DataError(
                f"{place}: there are {len(found)} other rows for the {wanted} examples "
                "that the task's 'few_shot' asks for. Ask for fewer, or name more rows "
                "with 'few_shot_data'."
            )
        return found


def text_with(examples: Sequence[Filled], prompt: str, delimiter: str) -> str:
    """Return a prompt with examples before it."""
    shown = [f"{each.prompt}{delimiter}{each.reference}" for each in examples]
    return SEPARATOR.join([*shown, prompt])


def chat_with(
    examples: Sequence[Filled], prompt: Sequence[Message]
) -> tuple[Message, ...]:
    """Return a chat with examples before it, all after what the system says."""
    turns = [message for message in prompt if message.role == "system"]
    for example in examples:
        turns += _spoken(example.prompt)
        turns.append(Message("assistant", example.reference or ""))
    return *turns, *_spoken(prompt)


def _spoken(prompt: str | Sequence[Message]) -> list[Message]:
    return [
        message
        for message in prompt
        if isinstance(message, Message) and message.role != "system"
    ]
