"""What a report shows of rows: their losses by length, and some of their answers."""

import math
from collections.abc import Sequence
from itertools import pairwise

from xturing.core.papers.blocks import Block, Curves, Paragraph, Quote
from xturing.core.papers.curves import Line
from xturing.core.resampling import FEWEST_ROWS
from xturing.eval.questions import Likelihood, Outcome
from xturing.eval.reporting.wording import number, prompt
from xturing.eval.results import Evaluation

MOST_BINS = 8
ROWS_BESIDE = 5
"""Rows of which all models' answers are shown."""

Row = tuple[Outcome, ...]
"""What each model made of one question."""


def rows_of(evaluation: Evaluation) -> list[Row]:
    """Return the outcomes of all models, question by question."""
    return list(zip(*(each.outcomes for each in evaluation.results), strict=True))


def loss(likelihood: Likelihood) -> float:
    """Return the loss in nats a token."""
    return likelihood.nats / max(likelihood.tokens, 1)


def by_length(evaluation: Evaluation) -> tuple[Block, ...]:
    """Return the loss of references, the short ones first, as a line for each model.

    Each bin has as many rows as the others, and the same for all models.
    """
    told = [found for row in rows_of(evaluation) if (found := _likelihoods(row))]
    told.sort(key=lambda row: row[0].tokens)
    count = min(MOST_BINS, len(told) // FEWEST_ROWS)
    if count < 2 or told[0][0].tokens == told[-1][0].tokens:
        return ()
    edges = [len(told) * number // count for number in range(count + 1)]
    bins = [told[start:end] for start, end in pairwise(edges)]
    lines = tuple(
        Line(result.model, tuple(_point(rows, index) for rows in bins))
        for index, result in enumerate(evaluation.results)
    )
    label = "tokens of the reference"
    drawn = Curves("Loss by length of the answer", label, "nats a token", lines)
    if all(each.tokens == row[0].tokens for row in told for each in row):
        return (drawn,)
    return (
        drawn,
        Paragraph(
            "The models divide texts into tokens differently, so their losses a token "
            f"cannot be compared. Lengths are those of {evaluation.results[0].model}."
        ),
    )


def side_by_side(evaluation: Evaluation) -> tuple[Block, ...]:
    """Return some rows with the answers of all models."""
    rows = [row for row in rows_of(evaluation) if any(each.answers for each in row)]
    if not rows:
        return ()
    blocks: list[Block] = []
    apart = sorted(filter(_spread, rows), key=_spread, reverse=True)
    if apart:
        blocks.append(
            Paragraph("The models differ most in the loss of these references.")
        )
    names = [result.model for result in evaluation.results]
    for row in (apart or rows)[:ROWS_BESIDE]:
        blocks += _shown(row, names)
    return tuple(blocks)


def _likelihoods(row: Row) -> list[Likelihood]:
    """Return the references' likelihoods, or none where one is not known."""
    found = [
        each.reference
        for each in row
        if each.reference is not None and math.isfinite(each.reference.nats)
    ]
    return found if len(found) == len(row) else []


def _point(rows: Sequence[Sequence[Likelihood]], model: int) -> tuple[float, float]:
    length = sum(row[0].tokens for row in rows) / len(rows)
    nats = sum(row[model].nats for row in rows)
    return length, nats / max(sum(row[model].tokens for row in rows), 1)


def _spread(row: Row) -> float:
    """Return how far the models' losses are apart.

    It is of a byte, as tokens of several models need not be the same.
    """
    losses = [found.nats / max(found.bytes, 1) for found in _likelihoods(row)]
    return max(losses) - min(losses) if losses else 0.0


def _shown(row: Row, names: Sequence[str]) -> list[Block]:
    question = row[0].question
    blocks: list[Block] = [
        Paragraph(question.place),
        Quote("Prompt", prompt(question)),
    ]
    if question.reference is not None:
        blocks.append(Quote("Reference", question.reference))
    for name, outcome in zip(names, row, strict=True):
        if outcome.answers:
            blocks.append(Quote(_title(name, outcome), outcome.answer))
    return blocks


def _title(name: str, outcome: Outcome) -> str:
    """Return whose answer it is, and what is to be known of it."""
    first, count = outcome.answers[0], len(outcome.answers)
    parts = [name]
    if count > 1:
        parts.append(f"the first of {count} answers")
    if not first.stopped:
        parts.append(f"cut after {first.tokens} tokens")
    if outcome.reference is not None:
        parts.append(f"loss of the reference {number(loss(outcome.reference))}")
    return ", ".join(parts)
