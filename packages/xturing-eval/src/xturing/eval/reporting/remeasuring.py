"""What the metrics of an evaluation make of single answers, once more.

An evaluation keeps outcomes and the metrics' options, from which it follows.
"""

from collections.abc import Mapping

from xturing.core.papers.blocks import Block, Paragraph, Table
from xturing.eval.metrics import Metric, opened
from xturing.eval.metrics.labels import Labels
from xturing.eval.questions import Outcome
from xturing.eval.results import Evaluation, Result

TELLS_RIGHT = "exact_match json_fields labels numeric_answer regex".split()
"""Metrics whose foremost figure is the share of right answers, and that only read."""


def wrong_answers(evaluation: Evaluation, result: Result) -> list[Outcome] | None:
    """Return the rows that a model answers wrongly by the first metric that tells.

    It is None if no metric does.
    """
    for score in result.scores:
        if score.metric not in TELLS_RIGHT:
            continue
        metric = _reopened(evaluation, result, score.metric)
        if metric is not None:
            hit = metric.figures[0].hit
            return [each for each in result.outcomes if not metric.measure(each)[hit]]
    return None


def confusions(evaluation: Evaluation) -> tuple[Block, ...]:
    """Return which labels each model takes for which."""
    blocks: list[Block] = []
    for result in evaluation.results:
        metric = _reopened(evaluation, result, "labels")
        if isinstance(metric, Labels):
            said = f"What {result.model} answers (columns) where a label is right:"
            blocks += [Paragraph(said), _confusion(metric, result)]
    return tuple(blocks)


def _confusion(metric: Labels, result: Result) -> Table:
    import numpy as np

    statistics = np.array([metric.measure(each) for each in result.outcomes])
    found = metric.confusion(statistics.sum(axis=0))
    rows = tuple(
        (label, *(f"{count:,.0f}" for count in counts))
        for label, counts in zip(found.labels, found.counts, strict=True)
    )
    return Table(("right", *found.labels, "no label"), rows)


def _reopened(evaluation: Evaluation, result: Result, name: str) -> Metric | None:
    """Return a metric as it was; None if it, or answers, were no part of this."""
    options = evaluation.settings.get("metrics")
    if not isinstance(options, Mapping) or name not in options:
        return None
    questions = [outcome.question for outcome in result.outcomes]
    if not all(outcome.answers for outcome in result.outcomes) or not questions:
        return None
    return opened(name, questions, options[name])
