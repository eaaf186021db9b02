"""What holds for every metric, whoever adds one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from evaluating import EQUALS, likelihood, made, measured, outcomes, written

from xturing.eval.metrics import METRICS, Metric, Need
from xturing.eval.questions import Outcome

TEXTS = [
    "the quick brown fox jumps over the lazy dog",
    "what is the capital of france, and why is it paris",
    "write a short answer to the question, please",
]
OBJECTS = ['{"name": "Ada", "age": 36}', '{"name": "Bob"}', '{"tags": ["a", 1]}']
BEST = {"bleu": 100, "chrf": 100, "loss": 0, "perplexity": 1, "bits_per_byte": 0}
"""Best values of figures; 1 of all others."""


@dataclass(frozen=True)
class Case:
    """Rows and options that a metric takes."""

    references: Sequence[str] = tuple(TEXTS)
    options: Mapping[str, Any] = field(default_factory=dict)


CASES = dict.fromkeys(METRICS, Case()) | {
    "json_fields": Case(OBJECTS),
    "labels": Case(["yes", "no", "yes"]),
    "numeric_answer": Case(["so it is 5.\n#### 5", "#### 1,000", "#### -2.5"]),
    "pass_at_k": Case(options={"checker": EQUALS, "seconds": 60}),
    "regex": Case(options={"pattern": "^[a-z]"}),
    "repetition": Case(["each word once", "no word twice", "all of them differ"]),
}


def answered(name: str, answers: Sequence[str], *, nats: float) -> list[Outcome]:
    """Return outcomes of a metric's references, with everything a model can give."""
    rows = outcomes(list(zip(answers, CASES[name].references, strict=True)))
    choices = {"choices": ("right", "not right"), "right": 0}
    return [
        replace(
            row,
            question=replace(row.question, **choices),
            answers=(written(row.answer, stopped=bool(row.answer)),),
            reference=likelihood(nats, tokens=3, size=7),
            choices=(likelihood(nats), likelihood(1.0)),
        )
        for row in rows
    ]


@cache
def perfect(name: str) -> tuple[Outcome, ...]:
    return tuple(answered(name, CASES[name].references, nats=0.0))


@cache
def empty(name: str) -> tuple[Outcome, ...]:
    """Return outcomes of a model that says nothing, and finds everything unlikely."""
    return tuple(answered(name, [""] * 3, nats=1e6))


@cache
def metric(name: str) -> Metric:
    return made(name, perfect(name), **CASES[name].options)


every_metric = pytest.mark.parametrize("name", METRICS)


@every_metric
def test_a_metric_says_its_name_and_what_it_needs(name):
    assert metric(name).name == name
    assert metric(name).needs in Need.__args__
    assert metric(name).figures


@every_metric
def test_rows_have_as_many_statistics_and_all_are_finite(name):
    found = measured(metric(name), [*perfect(name), *empty(name)])
    assert found.ndim == 2
    assert np.isfinite(found).all()


@every_metric
def test_figures_are_of_many_sums_at_once(name):
    statistics = measured(metric(name), [*perfect(name), *empty(name)])
    drawn = np.random.default_rng(0).integers(len(statistics), size=(7, 5))
    sums = statistics[drawn].sum(axis=1)
    for figure in metric(name).figures:
        found = figure.of(sums)
        assert found.shape == (7,)
        one_by_one = [float(figure.of(row)) for row in sums]
        np.testing.assert_array_equal(found, one_by_one)


@every_metric
def test_perfect_answers_reach_the_best_value(name):
    sums = measured(metric(name), perfect(name)).sum(axis=0)
    found = {figure.name: float(figure.of(sums)) for figure in metric(name).figures}
    assert found == pytest.approx({name: BEST.get(name, 1) for name in found}, abs=1e-6)


@every_metric
def test_empty_answers_are_measured_and_are_not_better(name):
    best, worst = (
        measured(metric(name), rows).sum(axis=0)
        for rows in (perfect(name), empty(name))
    )
    for figure in metric(name).figures:
        sign = 1 if figure.higher_is_better else -1
        # No run of words is repeated where there is none.
        is_undefined = name == "repetition"
        assert math.isnan(figure.of(worst)) == is_undefined
        assert not sign * figure.of(worst) >= sign * figure.of(best)


@every_metric
def test_an_undefined_figure_is_not_zero__rivals_fill_it_in(name):
    width = len(metric(name).measure(perfect(name)[0]))
    for figure in metric(name).figures:
        assert math.isnan(figure.of(np.zeros(width)))
        assert np.isnan(figure.of(np.zeros((7, width)))).all()


@every_metric
def test_measuring_is_deterministic(name):
    again = made(name, perfect(name), **CASES[name].options)
    for row in (perfect(name)[0], empty(name)[1]):
        assert tuple(again.measure(row)) == tuple(metric(name).measure(row))


@every_metric
def test_a_share_counts_rows_that_are_right(name):
    statistics = measured(metric(name), [*perfect(name), *empty(name)])
    for figure in metric(name).figures:
        if figure.is_share:
            hits = statistics[:, figure.hit]
            assert set(hits) <= {0.0, 1.0}
            assert (statistics[:, 1] == 1).all()
            assert figure.of(statistics.sum(axis=0)) == hits.mean()


def test_no_two_figures_share_a_name():
    names = [figure.name for name in METRICS for figure in metric(name).figures]
    assert len(names) == len(set(names))
