"""Figures of the models, and how they differ."""

import math
from collections.abc import Sequence

from xturing.core.papers.bars import Bar
from xturing.core.papers.blocks import Bars, Block, Paragraph, Table
from xturing.eval.reporting.wording import (
    INTERVAL,
    MISSING,
    chance,
    change,
    changes,
    interval,
    number,
    score_with_interval,
)
from xturing.eval.results import Compared, Comparison, Evaluation, Score

OF_A_HUNDRED = ("bleu", "chrf")
"""Metrics whose figures go to 100, even where all that were found are below 1."""
UNITS = {"bits_per_byte": "bits a byte"}
"""Of losses on general text by their figures; others are in nats a token."""

Figures = dict[str, list[tuple[str, Score]]]
"""Scores of all models by figure, each with its model's name."""


def scores(evaluation: Evaluation) -> tuple[Block, ...]:
    """Return the figures of all models, as bars where they go from 0 to 1."""
    figures: Figures = {}
    for result in evaluation.results:
        for score in result.scores:
            figures.setdefault(score.name, []).append((result.model, score))
    bars = tuple(
        _bar(model, score)
        for found in figures.values()
        if _is_drawn([score for _, score in found])
        for model, score in found
    )
    rows = tuple(
        _score_cells(model, score)
        for found in figures.values()
        for model, score in found
    )
    columns = "figure", "model", "score", INTERVAL, "rows", "better"
    title = "Figures of which more is better, from 0 to 1"
    drawn = (Bars(title, f"score, with its {INTERVAL}", bars),) if bars else ()
    return (*drawn, Table(columns, rows)) if rows else ()


def _bar(model: str, score: Score) -> Bar:
    return Bar(
        name=model,
        group=score.name,
        value=score.value,
        low=score.low,
        high=score.high,
        shown=score_with_interval(score),
    )


def _is_drawn(found: Sequence[Score]) -> bool:
    """Tell whether a figure goes from 0 to 1, and the more of it, the better."""
    ends = [end for score in found for end in (score.value, score.low, score.high)]
    defined = [end for end in ends if not math.isnan(end)]
    return (
        all(0 <= end <= 1 for end in defined)
        and any(not math.isnan(score.value) for score in found)
        and found[0].higher_is_better
        and found[0].metric not in OF_A_HUNDRED
    )


def _score_cells(model: str, score: Score) -> tuple[str, ...]:
    return (
        score.name,
        model,
        number(score.value, is_share=score.is_share),
        interval(score.low, score.high, is_share=score.is_share),
        f"{score.rows:,}",
        "higher" if score.higher_is_better else "lower",
    )


def differences(evaluation: Evaluation) -> tuple[Block, ...]:
    """Return what each other model has more or less than the base."""
    shares = {
        score.name
        for result in evaluation.results
        for score in result.scores
        if score.is_share
    }
    blocks: list[Block] = []
    for compared in evaluation.compared:
        rows = tuple(
            _difference_cells(each, is_share=each.name in shares)
            for each in compared.comparisons
        )
        columns = "figure", "base", "other", "difference", INTERVAL
        columns = *columns, "gained / lost", "p", "verdict"
        said = f"The base is {compared.base}, the other {compared.other}."
        blocks += [Paragraph(said), Table(columns, rows)]
    return (*blocks, *_explained(evaluation.compared))


def _difference_cells(found: Comparison, *, is_share: bool) -> tuple[str, ...]:
    turned = found.gained, found.lost
    return (
        found.name,
        number(found.base, is_share=is_share),
        number(found.other, is_share=is_share),
        change(found.difference, is_share=is_share),
        changes(found.low, found.high, is_share=is_share),
        MISSING if None in turned else f"{found.gained:,} / {found.lost:,}",
        chance(found.p_value),
        found.verdict,
    )


def _explained(compared: tuple[Compared, ...]) -> tuple[Block, ...]:
    every = [found for each in compared for found in each.comparisons]
    sentences = []
    if any(found.gained is not None for found in every):
        sentences.append(
            "Gained are the rows that the other alone gets right, lost those that the "
            "base alone does; p is that of McNemar's exact test over them."
        )
    if any(len(each.comparisons) > 1 for each in compared):
        sentences.append(
            "The verdict on a model is that of the first figure. Of many figures, some "
            "differ by chance."
        )
    return (Paragraph(" ".join(sentences)),) if sentences else ()


def forgetting(evaluation: Evaluation) -> tuple[Block, ...]:
    """Return how well the models tell general text, and what has become of it."""
    rows = [
        (
            result.model,
            score_with_interval(result.forgetting) if result.forgetting else MISSING,
            f"{result.forgetting.rows:,}" if result.forgetting else MISSING,
        )
        for result in evaluation.results
    ]
    if all(result.forgetting is None for result in evaluation.results):
        return ()
    said = [
        Paragraph(_forgotten(each, each.forgetting))
        for each in evaluation.compared
        if each.forgetting is not None
    ]
    columns = "model", f"nats a token of general text ({INTERVAL})", "rows"
    return (*said, Table(columns, tuple(rows)))


def _forgotten(compared: Compared, found: Comparison) -> str:
    unit = UNITS.get(found.name, "nats a token")
    numbers = (
        f"on general text, its loss is {number(found.other)} {unit}, and that of "
        f"{compared.base} {number(found.base)} ({change(found.difference)}, {INTERVAL} "
        f"{changes(found.low, found.high)})"
    )
    match found.verdict:
        case "worse":
            return f"{compared.other} has forgotten something: {numbers}."
        case "better":
            return f"{compared.other} has forgotten nothing: {numbers}."
    return f"{compared.other} is not shown to have forgotten anything: {numbers}."
