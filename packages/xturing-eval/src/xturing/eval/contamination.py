"""Whether the questions stand in what a model was trained on, as far as it tells."""

import re
from collections.abc import Sequence
from pathlib import Path

from xturing.core.errors import XTuringError
from xturing.data.curation import find_contamination
from xturing.data.datasets import BaseDataset, open_dataset
from xturing.data.records import Placed
from xturing.eval.questions import Question
from xturing.eval.results import Contaminated, Contamination

MOSTLY = 0.5
"""Share of a row's runs of words from which it counts: instructions that all rows
share do not reach it."""
LISTED = 20

HUB = re.compile(r"the hub's ([\w./-]+)(?:, split '([^'/\\]*)')?")


def contamination_of(
    questions: Sequence[Question], training: str, folder: Path | None
) -> Contamination:
    """Return which questions stand in the training data, called so by a model's card.

    A relative path is looked for from here, and from the model's folder.
    """
    try:
        rows = _opened(training, folder)
        found = find_contamination(list(map(_placed, questions)), rows).found
    except XTuringError as error:
        return Contamination(training=training, rows=None, reason=str(error))
    known = [each for each in found if each.fraction >= MOSTLY]
    return Contamination(
        training=training,
        rows=len(known),
        found=tuple(
            Contaminated(place=each.place, source=each.source, fraction=each.fraction)
            for each in known[:LISTED]
        ),
    )


def _opened(training: str, folder: Path | None) -> BaseDataset:
    on_hub = HUB.fullmatch(training)
    if on_hub:
        return open_dataset(on_hub[1], split=on_hub[2])
    beside = folder / training if folder is not None else None
    if beside is not None and beside.exists() and not Path(training).exists():
        return open_dataset(beside)
    return open_dataset(training)


def _placed(question: Question) -> Placed:
    """Return all that a question says, its reference included."""
    record = question.record or question.answered(" ".join(question.choices))
    return Placed(record, question.place)
