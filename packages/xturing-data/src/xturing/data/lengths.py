"""What becomes of rows that are longer than the model may read.

Every way but `error` loses or divides something, and what it does is booked.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import DataError, UnknownNameError
from xturing.core.names import suggestion
from xturing.data.examples import Example, Part
from xturing.data.ledger import Book

LengthPolicy = Literal["error", "drop", "truncate", "keep-answer", "split"]

Together = tuple[Example, ...]
"""Examples of one row, of no use without each other."""

OFFENDERS_SHOWN = 5


def fit(
    examples: Iterable[Example], max_length: int, policy: LengthPolicy, book: Book
) -> Iterator[Example]:
    """Yield the examples, none longer than `max_length` tokens, and book what is lost.

    With `error`, nothing is yielded after the first that is too long: the rest is
    looked through so that the error can say what each policy would lose.

    Raises:
        DataError: a row is too long (`error`), or cannot be divided (`split`).
        UnknownNameError: there is no such policy.
    """
    alone = ((example,) for example in examples)
    for (example,) in fit_together(alone, max_length, policy, book):
        yield example


def fit_together(
    rows: Iterable[Together], max_length: int, policy: LengthPolicy, book: Book
) -> Iterator[Together]:
    """Do as `fit` for rows of several examples that are of no use without each other.

    A row is as long as its longest example. If one of them has to go, all do; what is
    cut from the middle of a prompt is cut from all alike.

    Raises:
        DataError: a row is too long (`error`), or cannot be divided (`split`).
        UnknownNameError: there is no such policy.
    """
    if policy not in get_args(LengthPolicy):
        known = get_args(LengthPolicy)
        raise UnknownNameError(
            f"There is no length policy '{policy}'. {suggestion(policy, known)}"
        )
    if max_length < 2:
        raise DataError(
            f"max_length={max_length} leaves no token to learn: the first has nothing "
            "before it. Give 2 or more."
        )
    offenders = _Offenders(max_length)
    for row in rows:
        book.row(_joined(row))
        offenders.rows += 1
        if _length(row) <= max_length:
            if not offenders.count:
                book.keep(_joined(row))
                yield row
        elif policy == "error":
            offenders.add(row)
        else:
            yield from _fitted(row, max_length, policy, book)
    if offenders.count:
        raise DataError(offenders.message())


def _fitted(
    row: Together, max_length: int, policy: LengthPolicy, book: Book
) -> Iterator[Together]:
    whole = _joined(row)
    pieces = _pieces(row, max_length, policy)
    match list(pieces):
        case []:
            book.drop(whole)
        case [piece]:
            book.cut(whole, _joined(piece))
        case _:
            book.split(whole)
    for piece in pieces:
        book.keep(_joined(piece))
        yield piece


def _pieces(row: Together, max_length: int, policy: LengthPolicy) -> Sequence[Together]:
    """Return what a policy makes of a row that is too long."""
    way = WAYS[policy]
    if len(row) == 1:
        return [(piece,) for piece in way(row[0], max_length)]
    excess = _length(row) - max_length
    if policy == "split":
        # Raises: neither example can be divided. The longest has what to say.
        split(max(row, key=len), max_length)
    parts = [
        way(example, len(example) - excess if policy == "keep-answer" else max_length)
        for example in row
    ]
    return [tuple(piece for (piece,) in parts)] if all(parts) else []


def _length(row: Together) -> int:
    return max(len(example) for example in row)


def _joined(row: Together) -> Example:
    """Return a row's examples one after the other, as one to be booked."""
    if len(row) == 1:
        return row[0]
    return replace(
        row[0],
        ids=np.concatenate([example.ids for example in row]),
        parts=np.concatenate([example.parts for example in row]),
        is_marked=any(example.is_marked for example in row),
    )


def drop(example: Example, max_length: int) -> tuple[Example, ...]:
    """Return nothing."""
    return ()


def truncate(example: Example, max_length: int) -> tuple[Example, ...]:
    """Return the start of a row, or nothing if that has nothing to learn."""
    start = part_of(example, 0, max_length)
    return (start,) if start.supervised else ()


def keep_answer(example: Example, max_length: int) -> tuple[Example, ...]:
    """Return a row without the middle of its prompt.

    Only words of the system, the user and tools go, never the template's tokens and
    never an answer or its end. A row that is too long without any of them is left out.
    """
    # The first token stays: what would come first in its place may be an answer.
    words = np.flatnonzero(example.parts == Part.PROMPT)
    words = words[words > 0]
    excess = len(example) - max_length
    if excess > len(words):
        return ()
    first = (len(words) - excess) // 2
    kept = np.ones(len(example), dtype=np.bool_)
    kept[words[first : first + excess]] = False
    return (replace(example, ids=example.ids[kept], parts=example.parts[kept]),)


def split(example: Example, max_length: int) -> tuple[Example, ...]:
    """Return a plain text as parts of like length, one after the other.

    Raises:
        DataError: it is a conversation or has a prompt, which only its start sees.
    """
    if not example.is_divisible:
        raise DataError(
            f"{example.place} has {len(example)} tokens, more than max_length="
            f"{max_length}, and cannot be split: only plain texts can, because the "
            "later parts of an answer would be learnt without their prompt. Use "
            "length_policy=keep-answer or drop."
        )
    count = -(-len(example) // max_length)
    bounds = [len(example) * index // count for index in range(count + 1)]
    return tuple(part_of(example, start, end) for start, end in pairwise(bounds))


WAYS: Mapping[LengthPolicy, Callable[[Example, int], tuple[Example, ...]]] = (
    MappingProxyType(
        {
            "split": split,
            "keep-answer": keep_answer,
            "truncate": truncate,
            "drop": drop,
        }
    )
)
"""What each policy makes of a row that is too long, the gentlest first."""


def part_of(example: Example, start: int, end: int) -> Example:
    """Return some tokens of an example; the first of them is never learnt."""
    return replace(
        example,
        ids=example.ids[start:end],
        parts=headed(example.parts[start:end]),
    )


def headed(parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the parts with a first one that is not learnt: nothing precedes it."""
    if not len(parts) or parts[0] < Part.ANSWER:
        return parts
    parts = parts.copy()
    parts[0] = Part.PROMPT
    return parts


@dataclass
class _Offenders:
    """The rows that are too long, and what each policy would lose of them."""

    max_length: int
    rows: int = 0
    count: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    ends: int = 0
    worst: list[tuple[int, int, str]] = field(default_factory=list)
    can_split: bool = True

    def add(self, row: Together) -> None:
        """Count a row in."""
        self.count += 1
        self.can_split &= all(example.is_divisible for example in row)
        tokens = len(_joined(row))
        for policy in WAYS:
            if policy != "split":
                pieces = _pieces(row, self.max_length, policy)
                self.lost[policy] += tokens - sum(len(_joined(p)) for p in pieces)
        self.ends += bool(_pieces(row, self.max_length, "truncate"))
        told = (_length(row), -self.count, row[0].place)
        if len(self.worst) < OFFENDERS_SHOWN:
            heapq.heappush(self.worst, told)
        else:
            heapq.heappushpop(self.worst, told)

    def message(self) -> str:
        """Return what to tell the user."""
        worst = sorted(self.worst, reverse=True)
        shown = "; ".join(f"{place} has {length}" for length, _, place in worst)
        more = self.count - len(worst)
        lost = dict(self.lost) | ({"split": 0} if self.can_split else {})
        order = sorted(
            (policy for policy in WAYS if policy in lost), key=lost.__getitem__
        )
        costs = ", ".join(
            f"{policy} {lost[policy]:,}"
            + (f" and {self.ends} ends of answers" if policy == "truncate" else "")
            for policy in order
        )
        return (
            f"{self.count} of {self.rows} rows have more than max_length="
            f"{self.max_length} tokens: {shown}"
            f"{f'; and {more} more' if more > 0 else ''}. Set max_length={worst[0][0]} "
            f"to keep them whole. Of the other ways, length_policy={order[0]} loses "
            f"least (tokens lost: {costs})."
        )
