"""A step's micro-batches, dealt out to the processes that take the step together."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """A micro-batch of one process."""

    rows: tuple[int, ...]
    counts: bool = True
    """Whether it is learnt from; if not, it only keeps its process in step."""


def shares(
    micro_batches: Sequence[Sequence[int]], world_size: int
) -> tuple[tuple[Share, ...], ...]:
    """Return the micro-batches of each process; all have the same number of them.

    Processes that hold parts of one model pass through it together, so none may take a
    pass less than the others. Large micro-batches are divided until all processes have
    as many; where there are too few rows, one is repeated and does not count.
    """
    if world_size == 1:
        return (tuple(Share(tuple(rows)) for rows in micro_batches),)
    passes = -(-len(micro_batches) // world_size)
    parts = _divided(micro_batches, passes * world_size)
    filler = Share(min(parts, key=len), counts=False)
    dealt = [[Share(rows) for rows in parts[n::world_size]] for n in range(world_size)]
    return tuple((*own, *[filler] * (passes - len(own))) for own in dealt)


def _divided(
    micro_batches: Sequence[Sequence[int]], wanted: int
) -> list[tuple[int, ...]]:
    """Return so many parts of the micro-batches, in order, or one for each row."""
    parts = [tuple(rows) for rows in micro_batches]
    while len(parts) < wanted and len(largest := max(parts, key=len)) > 1:
        place, half = parts.index(largest), -(-len(largest) // 2)
        parts[place : place + 1] = [largest[:half], largest[half:]]
    return parts
