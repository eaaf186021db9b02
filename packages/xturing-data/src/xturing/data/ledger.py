"""Where every token of a dataset went."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.data.examples import Example, Part

PARTS_SHOWN = (
    ("answers, learnt", "answer"),
    ("ends of turn, learnt", "end_of_turn"),
    ("prompts", "prompt"),
    ("template", "template"),
    ("padding", "padding"),
    ("truncated", "truncated"),
    ("dropped", "dropped"),
    ("all tokens", "tokens"),
)
"""What people are shown of a ledger, and its fields."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Tokens of a dataset by what became of them; they add up to `tokens`.

    All counts are for one pass over the data. `padding` comes on top of the rows' own
    tokens.
    """

    rows: int
    """Rows that were encoded."""
    tokens: int
    """All tokens: those of the rows, and padding."""
    answer: int = 0
    """Learnt: the answers' words, or a text's."""
    end_of_turn: int = 0
    """Learnt: what ends each answer."""
    prompt: int = 0
    """Read but not learnt: words of system and user, and texts' first tokens."""
    template: int = 0
    """Read but not learnt: what the chat template adds."""
    padding: int = 0
    """Computed and thrown away."""
    truncated: int = 0
    """Cut off rows that are too long."""
    dropped: int = 0
    """Tokens of rows left out as a whole."""
    dropped_rows: tuple[str, ...] = ()
    """Where the rows that were left out stand."""
    truncated_rows: tuple[str, ...] = ()
    """Where the rows that were cut stand."""
    split_rows: tuple[str, ...] = ()
    """Where the rows stand that were divided into several examples."""
    marked_rows: tuple[str, ...] = ()
    """Where the rows stand whose words hold what the tokenizer reads as special tokens;
    they are read so when the model is served, too."""
    ends_lost: int = 0
    """Rows that lost their last answer's end token, so that it is not learnt."""

    def __post_init__(self) -> None:
        parts = self.supervised + self.prompt + self.template + self.padding
        if parts + self.truncated + self.dropped != self.tokens:
            raise ValueError(f"the ledger does not add up: {self}")

    @property
    def supervised(self) -> int:
        """Tokens that enter the loss."""
        return self.answer + self.end_of_turn

    def padded(self, padding: int) -> "Ledger":
        """Return the ledger with padding booked."""
        return replace(
            self, tokens=self.tokens - self.padding + padding, padding=padding
        )

    def as_dict(self) -> dict[str, object]:
        """Return the ledger for a JSON file, `supervised` included."""
        return {**asdict(self), "supervised": self.supervised}


class Book:
    """A ledger in the making: examples are booked as they pass, and none is kept."""

    def __init__(self) -> None:
        self._parts = np.zeros(len(Part), dtype=np.int64)
        self._truncated = self._dropped = self._ends_lost = 0
        self._places: dict[str, list[str]] = {
            kind: [] for kind in ("dropped", "truncated", "split", "marked")
        }
        self._rows = 0

    def row(self, example: Example) -> None:
        """Book that a row was encoded."""
        self._rows += 1
        if example.is_marked:
            self._places["marked"].append(example.place)

    def keep(self, example: Example) -> None:
        """Book the tokens of an example that is learnt from."""
        self._parts += np.bincount(example.parts, minlength=len(Part))

    def drop(self, example: Example) -> None:
        """Book a row that is left out as a whole."""
        self._dropped += len(example)
        self._places["dropped"].append(example.place)

    def cut(self, whole: Example, kept: Example) -> None:
        """Book what a row lost, some of which is kept."""
        self._truncated += len(whole) - len(kept)
        before, after = ((e.parts == Part.END).sum() for e in (whole, kept))
        self._ends_lost += int(after < before)
        self._places["truncated"].append(whole.place)

    def split(self, example: Example) -> None:
        """Book a row that was divided; its parts are kept each for itself."""
        self._places["split"].append(example.place)

    def ledger(self) -> Ledger:
        """Return the ledger of all that was booked."""
        lost = self._truncated + self._dropped
        return Ledger(
            rows=self._rows,
            tokens=int(self._parts.sum()) + lost,
            **_by_part(self._parts),
            truncated=self._truncated,
            dropped=self._dropped,
            ends_lost=self._ends_lost,
            dropped_rows=tuple(self._places["dropped"]),
            truncated_rows=tuple(self._places["truncated"]),
            split_rows=tuple(self._places["split"]),
            marked_rows=tuple(self._places["marked"]),
        )


def rebooked(ledger: Ledger, examples: Iterable[Example]) -> Ledger:
    """Return the ledger with its tokens in the parts that they play in `examples`."""
    parts = np.zeros(len(Part), dtype=np.int64)
    for example in examples:
        parts += np.bincount(example.parts, minlength=len(Part))
    return replace(ledger, **_by_part(parts))


def _by_part(parts: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "answer": int(parts[Part.ANSWER]),
        "end_of_turn": int(parts[Part.END]),
        "prompt": int(parts[Part.PROMPT]),
        "template": int(parts[Part.TEMPLATE]),
    }
