"""The rows with which a model has the most trouble."""

import math

from xturing.core.papers.blocks import Block, Paragraph, Table
from xturing.eval.questions import Outcome
from xturing.eval.reporting.remeasuring import wrong_answers
from xturing.eval.reporting.rows import loss
from xturing.eval.reporting.wording import MISSING, beginning, last_words, number
from xturing.eval.results import Evaluation, Result

ROWS_SHOWN = 10


def troubles(evaluation: Evaluation) -> tuple[Block, ...]:
    """Return the rows with which the last model has the most trouble."""
    *_, result = evaluation.results
    return (
        *_least_likely(result),
        *_wrong_choices(result),
        *_wrong_answers(evaluation, result),
    )


def _least_likely(result: Result) -> tuple[Block, ...]:
    told = [
        (loss(outcome.reference), outcome.reference.tokens, outcome)
        for outcome in result.outcomes
        if outcome.reference is not None and not math.isnan(outcome.reference.nats)
    ]
    told.sort(key=lambda each: each[0], reverse=True)
    rows = tuple(
        (*_cells(outcome), f"{tokens:,}", number(loss))
        for loss, tokens, outcome in told[:ROWS_SHOWN]
    )
    columns = "row", "prompt", "tokens", "nats a token"
    said = f"The references that {result.model} finds least likely:"
    return (Paragraph(said), Table(columns, rows)) if rows else ()


def _wrong_choices(result: Result) -> tuple[Block, ...]:
    asked = [
        (outcome, outcome.question.right, _likeliest(outcome))
        for outcome in result.outcomes
        if outcome.choices and outcome.question.right is not None
    ]
    wrong = [
        (*_cells(outcome), *(beginning(outcome.question.choices[i]) for i in indices))
        for outcome, *indices in asked
        if indices[0] != indices[1]
    ]
    columns = "row", "prompt", "right", "likeliest"
    said = (
        f"The choice that {result.model} finds likeliest is wrong in {len(wrong):,} of "
        f"{len(asked):,} rows."
    )
    return (Paragraph(said), Table(columns, tuple(wrong[:ROWS_SHOWN]))) if wrong else ()


def _likeliest(outcome: Outcome) -> int:
    nats = [choice.nats for choice in outcome.choices]
    return nats.index(min(nats))


def _wrong_answers(evaluation: Evaluation, result: Result) -> tuple[Block, ...]:
    wrong = wrong_answers(evaluation, result)
    if not wrong:
        return ()
    rows = tuple(
        (
            *_cells(outcome),
            beginning(outcome.question.reference or MISSING),
            beginning(outcome.answer),
        )
        for outcome in wrong[:ROWS_SHOWN]
    )
    columns = "row", "prompt", "reference", "answer"
    said = (
        f"{len(wrong):,} of {len(result.outcomes):,} answers of {result.model} are "
        "wrong."
    )
    return Paragraph(said), Table(columns, rows)


def _cells(outcome: Outcome) -> tuple[str, str]:
    return outcome.question.place, beginning(last_words(outcome.question))
