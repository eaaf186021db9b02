"""Which few of many texts may be very much like one, found by their rarest tokens.

Texts are lists of numbers here; how alike two of them are is not decided.
"""

import math
from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SCALE = 10**9
"""Parts that a threshold is counted in where no rounding is allowed."""
OCCURRENCE = 1 << 40
"""What the number of a token grows by each time that a text repeats it."""
TEXTS = 1 << 32
"""More than texts can be kept."""
LONGEST = 1 << 30
"""More tokens than any text has."""
UNSEEN = -(1 << 62)
"""Rank of what no kept text has: rarer than all else."""


def occurrences_of(numbers: Sequence[int]) -> list[int]:
    """Return a number for each token that tells its repetitions apart.

    Two texts then have as many of these in common as tokens in any order.
    """
    seen: dict[int, int] = {}
    found = []
    for number in numbers:
        count = seen[number] = seen.get(number, -1) + 1
        found.append(number + count * OCCURRENCE)
    return found


class Bounds:
    """What two texts must be like for their F1 to be above a threshold.

    F1 is 2c / (m + n), with c of m and of n tokens in common. Bounds are exact in whole
    numbers, for a threshold that is lower by more than what floats can be off.
    """

    def __init__(self, threshold: float) -> None:
        self._parts = max(math.floor(threshold * SCALE) - 1, 0)

    def fewest(self, length: int) -> int:
        """Return how many tokens a text of `length` has in common with such another.

        The other one has no fewer tokens than that.
        """
        return max(-(-self._parts * length // (2 * SCALE - self._parts)), 1)

    def longest(self, length: int, common: int) -> int:
        """Return how long the other may be, if no more than `common` are in common."""
        if not self._parts:
            return LONGEST
        return min(2 * SCALE * common // self._parts - length, LONGEST)


class Index:
    """Finds the few texts that may be over the threshold, by their rarest tokens.

    With the tokens of every text in one order, rare ones first, two texts that have c
    tokens in common share one before the last c - 1 of either (prefix filtering,
    Bayardo et al. 2007), so the most frequent tokens of a text are never looked up. The
    fewer tokens are left after the shared one, the shorter the other text must be
    (PPJoin, Xiao et al. 2008).
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._all: list[list[int]] = []
        self._lengths = array("q")
        self._ranks: dict[int, int] = {}
        self._entries: dict[int, array[int]] = {}
        """Of each rank the texts to be found by it, and above them, in the same number,
        how long a text may be that is to find them."""
        self._ordered = 0
        """Texts there were when tokens were put in order."""

    def add(self, occurrences: list[int]) -> None:
        """Take in the next text."""
        self._all.append(occurrences)
        self._lengths.append(len(occurrences))
        if len(self._all) > 2 * self._ordered:
            self._order()
            return
        for occurrence in occurrences:
            # What has come but now is rare; the next order knows better.
            self._ranks.setdefault(occurrence, -len(self._ranks) - 1)
        self._enter(len(self._all) - 1)

    def candidates(self, occurrences: list[int]) -> list[int]:
        """Return all texts that may be over the threshold, in order."""
        length = len(occurrences)
        found: list[NDArray[np.int64]] = []
        longest: list[int] = []
        for place, rank in enumerate(self._looked_up(occurrences)):
            if rank in self._entries:
                found.append(np.frombuffer(self._entries[rank], np.int64))
                longest.append(self._bounds.longest(length, length - place))
        if not found:
            return []
        entries = np.concatenate(found)
        texts = entries % TEXTS
        lengths = np.frombuffer(self._lengths, np.int64)[texts]
        is_near = (
            (entries >= length * TEXTS)
            & (lengths >= self._bounds.fewest(length))
            & (lengths <= np.repeat(longest, list(map(len, found))))
        )
        return np.unique(texts[is_near]).tolist()

    def _looked_up(self, occurrences: list[int]) -> list[int]:
        """Return the ranks of a text's rarest tokens: as many as have to be known."""
        ranks = sorted(self._ranks.get(each, UNSEEN) for each in occurrences)
        fewest = self._bounds.fewest(len(ranks))
        return ranks[: max(len(ranks) - fewest + 1, 0)]

    def _order(self) -> None:
        """Order all tokens anew, those of the fewest texts first."""
        counts = Counter(each for one in self._all for each in one)
        by_count = sorted(counts, key=lambda each: (counts[each], each))
        self._ranks = {each: rank for rank, each in enumerate(by_count)}
        self._entries = {}
        self._ordered = len(self._all)
        for text in range(len(self._all)):
            self._enter(text)

    def _enter(self, text: int) -> None:
        occurrences = self._all[text]
        length = len(occurrences)
        for place, rank in enumerate(self._looked_up(occurrences)):
            longest = self._bounds.longest(length, length - place)
            if rank not in self._entries:
                self._entries[rank] = array("q")
            self._entries[rank].append(longest * TEXTS + text)
