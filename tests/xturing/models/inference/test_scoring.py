"""Log-probabilities of given tokens."""

import threading

import numpy as np
import pytest
import torch
from engines import CountingRunner, Listener, counting_engine, listen, opened, request
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from xturing.core.errors import EngineError, SettingsError
from xturing.models import GenericModel

ROWS = [[5, 9, 7, 3, 11, 8, 6, 4, 10, 12], [40, 41, 42], [7], [300, 2, 2, 511]]
rows = st.lists(st.integers(0, 9), max_size=30)


@pytest.fixture(scope="module")
def model(tiny_folder):
    return GenericModel(tiny_folder)


def reference(model, row) -> np.ndarray:
    """Return the scores that the model has in float64, all of it."""
    wide = torch.tensor([row])
    with torch.inference_mode():
        logits = model.engine.model.double()(input_ids=wide).logits[0, :-1].numpy()
    model.engine.model.float()
    return log_softmax(logits, -1)[np.arange(len(row) - 1), row[1:]]


@pytest.mark.parametrize("name", ["torch", "native"])
def test_scores_are_those_of_double_precision(model, name):
    with opened(model, name, prefill_tokens=4) as engine:
        found = engine.score(ROWS)
    for row, scores in zip(ROWS, found, strict=True):
        assert scores.dtype == np.float32
        assert scores == pytest.approx(reference(model, row), abs=2e-4)


@given(st.lists(rows, max_size=4), st.integers(1, 9))
def test_rows_are_scored_alike_however_they_are_portioned(texts, prefill_tokens):
    engine = counting_engine(prefill_tokens=prefill_tokens)
    found = engine.score(texts)
    engine.close()
    # Of ten logits, the next digit's is 9 and the others are 0.
    total = np.log(np.exp(9) + 9)
    for row, scores in zip(texts, found, strict=True):
        follows = (np.diff(row) % 10 == 1) if len(row) else np.empty(0)
        assert scores == pytest.approx(9 * follows - total)


def test_no_rows_have_no_scores():
    engine = counting_engine()
    assert engine.score([]) == []
    engine.close()


def test_answers_go_on_while_rows_are_scored():
    runner = CountingRunner()
    engine = counting_engine(runner, prefill_tokens=2, cache_tokens=60)
    found = listen(engine, [1], max_new_tokens=30)
    engine.score([[3] * 30, [4] * 30])
    assert found.ids == [(2 + step) % 10 for step in range(30)]
    assert runner.most_held <= 60
    engine.close()


def test_a_row_longer_than_the_context_is_refused():
    engine = counting_engine(CountingRunner(context_length=20))
    assert len(engine.score([[1] * 20])[0]) == 19
    with pytest.raises(EngineError, match="21 tokens, and the engine reads 20"):
        engine.score([[1] * 21])
    engine.close()


def test_a_row_of_what_is_no_token_is_refused():
    engine = counting_engine()
    with pytest.raises(SettingsError, match="no token 10"):
        engine.score([[1], [1, 10]])
    engine.close()


def test_a_row_that_fails_fails_alone():
    runner = CountingRunner()

    def stumble(work, logits):
        if any(7 in each.ids for each in work):
            raise RuntimeError("too hot")

    runner.stumble = stumble
    engine = counting_engine(runner)
    with pytest.raises(EngineError, match="could not be scored: too hot"):
        engine.score([[7, 8]])
    assert len(engine.score([[1, 2, 3]])[0]) == 2
    engine.close()
    assert runner.held == 0


def test_closing_ends_the_scoring():
    runner = CountingRunner()
    runner.gate.clear()
    engine = counting_engine(runner, prefill_tokens=1)
    answer = Listener()
    engine.submit(request([1]), answer)
    assert runner.entered.wait(20)
    with pytest.raises(EngineError, match="closed"):
        _score_while_closing(engine, runner)
    assert answer.last.finish.reason == "cancelled"


def _score_while_closing(engine, runner) -> None:
    def close():
        while not engine._scorings:
            pass
        threading.Thread(target=engine.close).start()
        while not engine._is_over:
            pass
        runner.gate.set()

    threading.Thread(target=close).start()
    engine.score([[1] * 60])
