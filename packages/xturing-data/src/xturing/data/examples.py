"""One row as token ids, each of which knows what part it plays."""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xturing.core.labels import IGNORE


class Part(IntEnum):
    """What a token is there for; from `ANSWER` on, tokens are learnt."""

    TEMPLATE = 0
    """Put there by the chat template or the tokenizer."""
    PROMPT = 1
    """Words of the system or user, or a text's first token, which nothing precedes."""
    ANSWER = 2
    """Words to learn."""
    END = 3
    """What ends the answer, so that the model learns to stop."""


@dataclass(frozen=True, eq=False)
class Example:
    """The tokens of one row, in order.

    `ids` and `parts` have the shape (seq,). Raises `ValueError` when their lengths
    differ or when the first token is to be learnt, which no model can do.
    """

    ids: NDArray[np.int32]
    parts: NDArray[np.uint8]
    row: int
    """Index of the row in its dataset."""
    place: str = ""
    """Where the row came from."""
    is_divisible: bool = False
    """Whether it is a plain text, of which every part can be learnt by itself."""
    is_marked: bool = False
    """Whether its words hold what the tokenizer reads as a special token."""

    def __post_init__(self) -> None:
        if self.ids.shape != self.parts.shape:
            raise ValueError(f"{self.ids.shape} ids, {self.parts.shape} parts")
        if len(self.parts) and self.parts[0] >= Part.ANSWER:
            raise ValueError("the first token has nothing before it to be learnt from")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """The id to learn at each position, in line with `ids`, or `IGNORE`."""
        learnt = self.parts >= Part.ANSWER
        return np.where(learnt, self.ids, np.int32(IGNORE))

    @property
    def first_learnt(self) -> int:
        """Index of the first token that is learnt, or the length if none is."""
        learnt = self.parts >= Part.ANSWER
        return int(learnt.argmax()) if learnt.any() else len(self)

    @property
    def supervised(self) -> int:
        """How many tokens are learnt."""
        return int((self.parts >= Part.ANSWER).sum())
