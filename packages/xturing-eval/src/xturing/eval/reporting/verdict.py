"""What a report says first: whether a model is better, and whether to believe it."""

from xturing.core.papers.blocks import Block, Paragraph
from xturing.core.resampling import FEWEST_ROWS
from xturing.eval.reporting.wording import INTERVAL, UNDEFINED, interval, number
from xturing.eval.results import Contamination, Evaluation, GateFailure, Score


def verdict(evaluation: Evaluation) -> tuple[Block, ...]:
    """Return the verdict in sentences."""
    sentences = [compared.sentence for compared in evaluation.compared]
    if not any(sentences):
        sentences = [
            _main_figure(result.model, result.scores[0])
            for result in evaluation.results
            if result.scores
        ]
    sentences += [_failed(failure) for failure in evaluation.failures]
    sentences += [
        contaminated(result.model, result.contamination, evaluation.rows)
        for result in evaluation.results
        if result.contamination is not None
    ]
    return tuple(Paragraph(sentence) for sentence in sentences if sentence)


def contaminated(model: str, found: Contamination, rows: int) -> str:
    """Return in a sentence whether a model was trained on the rows it is asked."""
    if found.rows is None:
        return (
            f"Whether the rows stand in {found.training}, on which {model} was "
            f"trained, could not be found out: {found.reason.rstrip('.')}."
        )
    if found.rows == 0:
        return (
            f"None of the {rows:,} rows stands in {found.training}, on which {model} "
            "was trained."
        )
    stand = "stands" if found.rows == 1 else "stand"
    return (
        f"{found.rows:,} of the {rows:,} rows {stand}, wholly or in part, in "
        f"{found.training}, on which {model} was trained: it may know them by heart, "
        "so its scores tell less than they seem to."
    )


def _main_figure(model: str, score: Score) -> str:
    value = number(score.value, is_share=score.is_share)
    if value == UNDEFINED:
        return f"{score.name} of {model} is not defined over {score.rows:,} rows."
    where = interval(score.low, score.high, is_share=score.is_share)
    said = (
        f"{score.name} of {model} is {value} over {score.rows:,} rows "
        f"({INTERVAL} {where})"
    )
    if score.rows < FEWEST_ROWS:
        said += f"; fewer than {FEWEST_ROWS} rows tell little of others"
    return f"{said}."


def _failed(failure: GateFailure) -> str:
    reason = failure.reason.rstrip(".")
    return f'The condition "{failure.condition}" is not met: {reason}.'
