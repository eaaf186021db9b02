"""Outcomes of questions as tests write them, and what metrics make of them."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from xturing.core.resampling import Numbers
from xturing.data.records import Document
from xturing.eval.metrics import Metric, opened
from xturing.eval.questions import Likelihood, Outcome, Question, Written

_EQUALS = """
import json, sys
given = json.load(sys.stdin)
sys.exit(given["answer"] != given["reference"])
"""
EQUALS = [sys.executable, "-c", _EQUALS]
"""A checker that passes answers that equal the reference."""


def question(reference: str | None = None, **changes: Any) -> Question:
    """Return a question whose right answer is `reference`."""
    record = None if reference is None else Document(reference, prompt="why? ")
    given: dict[str, Any] = {"row": 0, "place": "rows.jsonl, line 1", "prompt": "why?"}
    return Question(**given | {"reference": reference, "record": record} | changes)


def written(text: str, **changes: Any) -> Written:
    """Return an answer that the model ended itself."""
    return Written(**{"text": text, "tokens": 1, "stopped": True} | changes)


def outcome(*answers: str, reference: str | None = None, **changes: Any) -> Outcome:
    """Return what a model answered to a question, which `changes` are of."""
    return Outcome(
        question=question(reference, **changes),
        answers=tuple(written(answer) for answer in answers),
    )


def outcomes(rows: Sequence[tuple[str, str]]) -> list[Outcome]:
    """Return outcomes of answers and references."""
    return [
        outcome(
            answer, reference=reference, row=row, place=f"rows.jsonl, line {row + 1}"
        )
        for row, (answer, reference) in enumerate(rows)
    ]


def likelihood(nats: float, *, tokens: int = 1, size: int = 1) -> Likelihood:
    """Return how likely a text of `size` bytes is."""
    return Likelihood(nats=nats, tokens=tokens, bytes=size, is_likeliest=False)


def made(name: str, rows: Sequence[Outcome], **options: Any) -> Metric:
    """Return a metric for the questions of outcomes."""
    return opened(name, [row.question for row in rows], options)


def measured(metric: Metric, rows: Sequence[Outcome]) -> Numbers:
    """Return the statistics of outcomes, of shape (rows, statistics)."""
    return np.array([metric.measure(row) for row in rows])


def value(metric: Metric, rows: Sequence[Outcome], name: str | None = None) -> float:
    """Return a figure of all outcomes: the foremost, unless another one is named."""
    figures = {figure.name: figure for figure in metric.figures}
    figure = metric.figures[0] if name is None else figures[name]
    return float(figure.of(measured(metric, rows).sum(axis=0)))


def scored(
    name: str, rows: Sequence[tuple[str, str]], figure: str | None = None
) -> float:
    """Return what a metric without options makes of answers and references."""
    found = outcomes(rows)
    return value(made(name, found), found, figure)
