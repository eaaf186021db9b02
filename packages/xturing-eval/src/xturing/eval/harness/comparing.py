"""Two models' results in the same tasks, row by row."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from xturing.core.errors import DataError
from xturing.core.resampling import Numbers, interval, resampled
from xturing.eval.harness.results import HarnessMetric, HarnessResult, HarnessTask
from xturing.eval.measuring import mcnemar
from xturing.eval.metrics import mean
from xturing.eval.results import Comparison


def compare_harness(
    base: HarnessResult, other: HarnessResult, *, seed: int = 0
) -> tuple[Comparison, ...]:
    """Return how the other does against the base, in each metric of each task.

    Names are such as "gsm8k exact_match,none". Metrics that are no means over rows (a
    perplexity, F1) are left out, and those of which lm-eval does not say whether more
    is better. `seed` draws the intervals.

    Raises:
        DataError: they were not asked the same rows of the same tasks.
    """
    names = [task.name for task in base.tasks]
    if sorted(names) != sorted(task.name for task in other.tasks):
        raise DataError(
            f"The base was asked {names}, the other {[t.name for t in other.tasks]}. "
            "Run both on the same tasks."
        )
    return tuple(
        _compared(task, metric, ours, theirs, seed)
        for task in base.tasks
        for metric, ours, theirs in _shared(task, other.task(task.name))
    )


def _shared(
    base: HarnessTask, other: HarnessTask
) -> list[tuple[HarnessMetric, Numbers, Numbers]]:
    """Return the metrics that can be compared, with both models' rows."""
    if _rows(base) != _rows(other):
        raise DataError(
            f"The models were asked other rows of '{base.name}' ({base.rows} and "
            f"{other.rows}). Run both on the same rows, with the same limit."
        )
    found = []
    for metric in base.metrics:
        ours, theirs = _values(base, metric.key), _values(other, metric.key)
        if ours is not None and theirs is not None:
            found.append((metric, ours, theirs))
    return found


def _rows(task: HarnessTask) -> list[tuple[object, ...]]:
    parts = "doc_id", "filter", "doc_hash", "target_hash"
    return [tuple(sample[part] for part in parts) for sample in task.samples]


def _values(task: HarnessTask, key: str) -> Numbers | None:
    """Return a metric row by row, if it is their mean and has a direction."""
    metric = task.metric(key)
    found = [
        sample.get(metric.name)
        for sample in task.samples
        if sample["filter"] == metric.filter
    ]
    if metric.higher_is_better is None or not all(map(_is_number, found)):
        return None
    values = np.array(found, dtype=np.float64)
    return values if np.isclose(values.mean(), metric.value) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number)


def _compared(
    task: HarnessTask, metric: HarnessMetric, ours: Numbers, theirs: Numbers, seed: int
) -> Comparison:
    gained = theirs - ours
    draws = resampled(np.stack([gained, np.ones_like(gained)], axis=1), mean, seed=seed)
    low, high = interval(draws, float(theirs.mean()) - float(ours.mean()))
    return Comparison(
        name=f"{task.name} {metric.key}",
        base=float(ours.mean()),
        other=float(theirs.mean()),
        low=low,
        high=high,
        rows=len(gained),
        higher_is_better=bool(metric.higher_is_better),
        **_won_and_lost(ours, theirs),
    )


def _won_and_lost(ours: Numbers, theirs: Numbers) -> Mapping[str, Any]:
    """Return what McNemar's test says, where rows are right or wrong."""
    if not np.isin(np.stack([ours, theirs]), (0, 1)).all():
        return {}
    gained, lost = int((theirs > ours).sum()), int((theirs < ours).sum())
    return {"gained": gained, "lost": lost, "p_value": mcnemar(gained, lost)}
