"""Where every token of a dataset went."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from xturing.data.examples import Example, Part


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


def book(
    kept: Sequence[Example], dropped: Sequence[Example], place: Callable[[int], str]
) -> Ledger:
    """Return the ledger of rows that were kept and rows that were left out."""
    counts = np.zeros(len(Part), dtype=np.int64)
    for example in kept:
        counts += np.bincount(example.parts, minlength=len(Part))
    lost = sum(len(example) for example in dropped)
    return Ledger(
        rows=len(kept) + len(dropped),
        tokens=int(counts.sum()) + lost,
        answer=int(counts[Part.ANSWER]),
        end_of_turn=int(counts[Part.END]),
        prompt=int(counts[Part.PROMPT]),
        template=int(counts[Part.TEMPLATE]),
        dropped=lost,
        dropped_rows=tuple(place(example.row) for example in dropped),
    )
