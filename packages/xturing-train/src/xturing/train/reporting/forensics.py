"""Training rows that stand out by how their loss went, or by what they say."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xturing.data.curation import find_contradictions
from xturing.data.datasets import BaseDataset

KNOWN = 0.1
"""Nats per token below which a row is known: a probability of 0.9 for each token."""
LISTED = 20
"""Rows of each kind that are named; row_losses.jsonl has them all."""


@dataclass(frozen=True, kw_only=True)
class RowCourse:
    """How the loss of one row went."""

    row: int
    place: str
    losses: tuple[float, ...]
    """Nats per learnt token, each time that the row was learnt from."""


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """Rows of one kind: how many there are, and the foremost of them."""

    count: int = 0
    rows: tuple[RowCourse, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Contradictory:
    """Rows that ask the same and are answered otherwise: a place of each answer."""

    places: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Forensics:
    """Rows to look at before the next run."""

    epochs: int
    """How often rows were learnt from, at most."""
    never_improving: Suspects
    """Rows whose loss was never below that of their first time, the highest first.

    They may be wrong, or unlike all others. It takes two epochs to tell.
    """
    learnt_at_once: Suspects
    """Rows known (`KNOWN`) by their second time at the latest, the lowest first.

    The model could do them before, or they stand in the data several times.
    """
    contradictions: int
    """Groups of rows that contradict one another."""
    contradictory: tuple[Contradictory, ...]
    """The first of these groups."""


def examine(
    means: NDArray[np.float64], dataset: BaseDataset, *, is_smoothed: bool = False
) -> Forensics:
    """Return the rows that stand out.

    `means` has the loss of each row in each epoch, of shape (epochs, rows); NaN where
    it was not seen. Smoothed losses do not come near 0, so that they cannot tell which
    rows are known.
    """
    courses = [column[~np.isnan(column)] for column in means.T]
    stuck = [
        row
        for row, losses in enumerate(courses)
        if len(losses) > 1 and losses[0] > KNOWN and losses[1:].min() >= losses[0]
    ]
    known = [
        row
        for row, losses in enumerate(courses)
        if len(losses) and losses[:2].min() <= KNOWN and not is_smoothed
    ]
    stuck.sort(key=lambda row: -courses[row][-1])
    known.sort(key=lambda row: courses[row][:2].min())

    def suspects(rows: Sequence[int]) -> Suspects:
        named = tuple(
            RowCourse(
                row=row,
                place=dataset.place(row),
                losses=tuple(float(loss) for loss in courses[row]),
            )
            for row in rows[:LISTED]
        )
        return Suspects(count=len(rows), rows=named)

    torn = find_contradictions(dataset)
    return Forensics(
        epochs=max((len(losses) for losses in courses), default=0),
        never_improving=suspects(stuck),
        learnt_at_once=suspects(known),
        contradictions=len(torn),
        contradictory=tuple(
            Contradictory(places=tuple(version.places[0] for version in group.versions))
            for group in torn[:LISTED]
        ),
    )
