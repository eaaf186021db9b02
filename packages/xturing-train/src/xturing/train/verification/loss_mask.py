"""Whether the tokens that are learnt are the assistant's words and their end, decoded.

Knows nothing of how labels were made: it reads them beside the rows they came from.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.core.labels import IGNORE
from xturing.data.datasets import BaseDataset
from xturing.data.examples import Example
from xturing.data.records import Conversation, Document, Message
from xturing.train.verification.subject import Subject

SHOWN = 60
"""Most characters of a text that are shown."""


def wrongly_learnt(
    subject: Subject, dataset: BaseDataset, tokenizer: Any
) -> str | None:
    """Return what is wrong with the first row whose labels are; None: nothing is.

    `dataset` holds the rows that the examples are of.
    """
    batch = subject.objective.collate(subject.examples)
    for line, example in enumerate(subject.examples):
        reader = _Reader(tokenizer, example, batch.input_ids[line], batch.labels[line])
        record = dataset.record(example.row)
        fault = reader.shifted()
        if fault is None and isinstance(record, Conversation):
            fault = reader.turns([each for each in record.messages if each.learns])
        if fault is None and isinstance(record, Document):
            fault = reader.text(record)
        if fault is not None:
            return f"{example.place}: {fault}"
    return None


class _Reader:
    """Reads what is learnt of one row."""

    def __init__(
        self,
        tokenizer: Any,
        example: Example,
        ids: NDArray[np.int64],
        labels: NDArray[np.int64],
    ) -> None:
        self._tokenizer = tokenizer
        self._length = len(example)
        self._ids = ids
        self._labels = labels

    def shifted(self) -> str | None:
        """Say whether a label is not the token that stands at its place."""
        learnt = self._labels != IGNORE
        if learnt[self._length :].any():
            return "padding is learnt"
        if not learnt.any():
            return "nothing is learnt"
        if learnt[0] or (self._labels[learnt] != self._ids[learnt]).any():
            return "labels are not the tokens that stand at their places"
        return None

    def turns(self, messages: list[Message]) -> str | None:
        """Say whether other words are learnt than the turns' and their ends."""
        runs = list(self._runs())
        for number, (start, end) in enumerate(runs):
            if number == len(messages):
                return f"{self._shown(start, end)} is learnt besides every answer"
            message = messages[number]
            if message.tool_calls:
                said = self._read(start, end)
                if all(_plain(call.name) in said for call in message.tool_calls):
                    continue
            elif self._is_turn(start, end, message.content):
                continue
            return (
                f"{self._shown(start, end)} is learnt where the answer "
                f"{message.content[:SHOWN]!r} and one end token should be"
            )
        # Where a row was cut, nothing follows the words that are left.
        is_cut = runs[-1][1] == self._length
        if len(runs) < len(messages) and not is_cut:
            return (
                f"{len(messages) - len(runs)} of {len(messages)} answers are not learnt"
            )
        return None

    def text(self, record: Document) -> str | None:
        """Say whether something else is learnt than the text and its end."""
        whole = self._normal(record.prompt + record.text)
        for start, end in self._runs():
            if all(self._read(start, e) not in whole for e in (end, end - 1)):
                return f"{self._shown(start, end)} is learnt, which is not in the text"
        return None

    def _is_turn(self, start: int, end: int, content: str) -> bool:
        words = self._normal(content)
        if self._read(start, end - 1) == words:
            return True
        # A token may hold a part of a letter.
        said = self._read(start, end).rstrip("\ufffd")
        return end == self._length and words.startswith(said)

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Yield where learnt tokens begin and end that stand side by side."""
        learnt = np.concatenate([[False], self._labels != IGNORE, [False]])
        starts, ends = np.flatnonzero(np.diff(learnt.astype(np.int8))).reshape(-1, 2).T
        yield from zip(starts.tolist(), ends.tolist(), strict=True)

    def _read(self, start: int, end: int) -> str:
        return _plain(self._tokenizer.decode(self._ids[start:end].tolist()))

    def _normal(self, words: str) -> str:
        """Return words as they are read back from tokens."""
        ids = self._tokenizer(words, add_special_tokens=False)["input_ids"]
        return _plain(self._tokenizer.decode(ids))

    def _shown(self, start: int, end: int) -> str:
        return repr(self._tokenizer.decode(self._ids[start:end].tolist())[:SHOWN])


def _plain(text: str) -> str:
    """Return a text without its spaces, which templates and tokenizers move."""
    return "".join(text.split())
