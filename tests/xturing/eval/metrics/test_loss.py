"""Reference: what perplexity and bits per byte are by definition."""

import math
from dataclasses import replace

import pytest
from evaluating import likelihood, made, outcome, question, value

from xturing.core.errors import DataError
from xturing.eval.metrics import opened


def row(nats: float, tokens: int = 1, size: int = 1):
    asked = outcome(reference="so", place="rows.jsonl, line 9")
    return replace(asked, reference=likelihood(nats, tokens=tokens, size=size))


def test_all_tokens_weigh_the_same():
    rows = [row(1.0, tokens=1), row(30.0, tokens=10)]
    assert value(made("loss", rows), rows) == pytest.approx(31 / 11)


def test_perplexity_of_a_guess_among_equals_is_their_number():
    rows = [row(4 * math.log(50), tokens=4), row(math.log(50))]
    assert value(made("loss", rows), rows, "perplexity") == pytest.approx(50)


def test_a_guess_of_one_in_256_takes_eight_bits_per_byte():
    rows = [row(12 * math.log(256), tokens=5, size=12)]
    assert value(made("loss", rows), rows, "bits_per_byte") == pytest.approx(8)


def test_perplexity_that_no_number_can_hold_is_infinite():
    rows = [row(701.0)]
    assert value(made("loss", rows), rows, "perplexity") == math.inf


def test_less_is_better():
    assert not any(f.higher_is_better for f in made("loss", [row(1.0)]).figures)


@pytest.mark.parametrize("nats", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_refused__rivals_report_nan(nats):
    with pytest.raises(DataError, match=f"line 9 is {nats}.*float32"):
        made("loss", [row(nats)]).measure(row(nats))


def test_a_question_without_a_reference_is_refused():
    with pytest.raises(DataError, match="line 1 has no reference whose loss"):
        opened("loss", [question(None)], {})


def test_a_reference_that_was_not_scored_is_named():
    with pytest.raises(DataError, match="line 1 was not scored"):
        made("loss", [row(1.0)]).measure(outcome(reference="so"))
