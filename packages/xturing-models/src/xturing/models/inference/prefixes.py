"""What was read for earlier requests, for those that begin alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.models.inference.runner import Cache, Runner

SHORTEST = 8
"""Tokens in common below which it is not worth while."""
MOST = 32
"""Caches that are kept."""


@dataclass(eq=False)
class _Kept:
    ids: NDArray[Any]
    cache: Cache


class Prefixes:
    """Caches of answered requests, the one used last being the last to go."""

    def __init__(self, runner: Runner, *, is_on: bool = True) -> None:
        self._runner = runner
        self._is_on = is_on
        self._kept: list[_Kept] = []

    @property
    def tokens(self) -> int:
        """Tokens that room is taken for."""
        return sum(each.cache.capacity for each in self._kept)

    def begin(
        self, prompt: Sequence[int], capacity: int, adapter: str | None
    ) -> tuple[Cache, int]:
        """Return a cache for a prompt, and how many of its tokens it holds already.

        The last token is always left to be read, as its logits are wanted.
        """
        ids = np.array(prompt[:-1], np.int64)
        best, length = None, 0
        for each in self._kept:
            if each.cache.adapter == adapter and (n := _common(each.ids, ids)) > length:
                best, length = each, n
        if best is None or length < SHORTEST:
            return self._runner.open(capacity, adapter), 0
        self._kept.remove(best)
        self._kept.append(best)
        return self._runner.copy(best.cache, length, capacity), length

    def keep(self, ids: Sequence[int], cache: Cache) -> None:
        """Take on a cache that has read `ids`."""
        if not self._is_on or cache.length < SHORTEST:
            self._runner.release(cache)
            return
        known = np.array(ids[: cache.length], np.int64)
        # One that another goes on from is of no more use than that other.
        for each in list(self._kept):
            same = each.cache.adapter == cache.adapter
            if same and _common(each.ids, known) == len(each.ids):
                self._drop(each)
        self._kept.append(_Kept(known, cache))
        while len(self._kept) > MOST:
            self._drop(self._kept[0])

    def shrink(self, tokens: int) -> None:
        """Let go until at most so many tokens are kept."""
        while self._kept and self.tokens > tokens:
            self._drop(self._kept[0])

    def _drop(self, each: _Kept) -> None:
        self._kept.remove(each)
        self._runner.release(each.cache)


def _common(a: NDArray[Any], b: NDArray[Any]) -> int:
    length = min(len(a), len(b))
    differing = np.flatnonzero(a[:length] != b[:length])
    return int(differing[0]) if len(differing) else length
