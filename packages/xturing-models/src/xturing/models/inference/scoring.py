"""Log-probabilities of given tokens, in portions between the steps of answers."""

from collections.abc import Sequence
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import EngineError
from xturing.models.inference.runner import Cache, Runner, Work


class Scoring:
    """One row of tokens that is being scored."""

    def __init__(self, ids: Sequence[int], longest: int) -> None:
        if len(ids) > longest:
            raise EngineError(
                f"A row has {len(ids)} tokens, and the engine reads {longest} at most "
                "(the model's context, or cache_tokens). Shorten it."
            )
        self._ids = list(ids)
        self._scores: list[NDArray[Any]] = []
        self._cache: Cache | None = None
        self._failure: BaseException | None = None
        self._is_done = Event()

    @property
    def capacity(self) -> int:
        """Tokens that there has to be room for."""
        return len(self._ids)

    @property
    def is_begun(self) -> bool:
        """Whether it holds a cache."""
        return self._cache is not None

    def go_on(self, runner: Runner, most: int) -> bool:
        """Read up to so many tokens; return whether that was all."""
        if len(self._ids) > 1:
            self._cache = self._cache or runner.open(self.capacity)
            start = self._cache.length
            ids = self._ids[start : start + most]
            logits = runner.step([Work(self._cache, ids, len(ids))])
            targets = self._ids[start + 1 : start + 1 + len(ids)]
            self._scores.append(_chosen(logits[: len(targets)], targets))
            if self._cache.length < len(self._ids):
                return False
        self._let_go(runner)
        self._is_done.set()
        return True

    def _let_go(self, runner: Runner) -> None:
        if self._cache is not None:
            runner.release(self._cache)
            self._cache = None

    def fail(self, error: BaseException, runner: Runner) -> None:
        """End without a result."""
        self._let_go(runner)
        self._failure = error
        self._is_done.set()

    def result(self) -> NDArray[Any]:
        """Wait for the scores, and return them.

        Raises:
            EngineError: there are none.
        """
        self._is_done.wait()
        if self._failure is not None:
            raise EngineError(f"Rows could not be scored: {self._failure}")
        empty = np.empty(0, np.float32)
        return np.concatenate([empty, *self._scores]).astype(np.float32)


def _chosen(logits: NDArray[Any], targets: Sequence[int]) -> NDArray[Any]:
    """Return the log-probabilities of one token a row, computed in float64."""
    wide = logits.astype(np.float64)
    highest = wide.max(-1, keepdims=True)
    totals = highest[:, 0] + np.log(np.exp(wide - highest).sum(-1))
    return wide[np.arange(len(targets)), list(targets)] - totals
