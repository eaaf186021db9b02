"""What a micro-batch costs in time and memory, fitted to some that were measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Shape:
    """A micro-batch, as far as its costs go."""

    units: int
    length: int
    """Tokens of its longest unit, to which the others are padded."""

    @property
    def tokens(self) -> int:
        """Tokens that are computed, padding included."""
        return self.units * self.length

    @property
    def pairs(self) -> int:
        """Pairs of tokens that attention compares."""
        return self.units * self.length**2


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a micro-batch really took."""

    shape: Shape
    seconds: float
    peak_bytes: int
    """Most memory of the process while it was computed."""


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """What any micro-batch takes, and an optimizer step beside its micro-batches."""

    fixed: float
    """Seconds of a micro-batch, whatever its size."""
    per_token: float
    """Seconds."""
    per_pair: float
    """Seconds for each pair of tokens of a sequence."""
    per_step: float
    """Seconds of the optimizer."""
    base_bytes: float
    """Memory of the process, gradients and the optimizer's memory included."""
    bytes_per_token: float

    def seconds(self, shape: Shape) -> float:
        """Return how long a micro-batch takes."""
        return self.fixed + self.per_token * shape.tokens + self.per_pair * shape.pairs

    def step_seconds(self, shapes: Sequence[Shape]) -> float:
        """Return how long an optimizer step of such micro-batches takes."""
        return self.per_step + sum(map(self.seconds, shapes))

    def peak_bytes(self, tokens: int) -> int:
        """Return the memory that a micro-batch of so many computed tokens needs."""
        return round(self.base_bytes + self.bytes_per_token * tokens)

    def tokens_within(self, limit_bytes: float) -> int:
        """Return how many computed tokens a micro-batch may have; 0: none fit."""
        room = limit_bytes - self.base_bytes
        if room < 0:
            return 0
        return int(room / self.bytes_per_token) if self.bytes_per_token else 2**62


@dataclass(frozen=True, kw_only=True)
class StepCosts:
    """What an optimizer step takes beside its micro-batches."""

    seconds: float
    bytes: int
    """Of what the optimizer remembers."""
    idle_bytes: int
    """Of the process before the first micro-batch, gradients included."""


def fit(found: Sequence[Measured], step: StepCosts) -> CostModel:
    """Return the costs that come closest to what was measured, none of them below 0."""
    shapes = [each.shape for each in found]
    # Of causes that explain as much, the first is taken.
    causes = np.array([[s.tokens, 1.0, s.pairs] for s in shapes])
    times = np.array([each.seconds for each in found])
    per_token, fixed, per_pair = _least_squares(causes, times)
    base, per_more = _least_squares(*_memory(found, step))
    return CostModel(
        fixed=fixed,
        per_token=per_token,
        per_pair=per_pair,
        per_step=step.seconds,
        base_bytes=base + step.bytes,
        bytes_per_token=per_more,
    )


def _memory(
    found: Sequence[Measured], step: StepCosts
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return causes (a constant and tokens) and effects of what was measured.

    The first micro-batch makes things that stay, so the memory before it tells little,
    but more than nothing where there was one size only.
    """
    sizes = [(each.shape.tokens, each.peak_bytes) for each in found]
    if len({tokens for tokens, _ in sizes}) < 2:
        sizes.append((0, step.idle_bytes))
    causes = np.array([[1.0, tokens] for tokens, _ in sizes])
    return causes, np.array([float(peak) for _, peak in sizes])


def _least_squares(
    causes: NDArray[np.float64], effects: NDArray[np.float64]
) -> list[float]:
    """Return one weight for each cause, at least 0, with the least relative error.

    With so few causes, every set of them that may be other than 0 can be tried.
    """
    count = causes.shape[1]
    scales = np.maximum(causes.max(axis=0), 1.0)
    relative = causes / scales / effects[:, None]
    best, least = np.zeros(count), np.inf
    for size in range(1, min(count, len(effects)) + 1):
        for chosen in map(list, combinations(range(count), size)):
            weights = np.linalg.lstsq(relative[:, chosen], np.ones(len(effects)))[0]
            error = float(((relative[:, chosen] @ weights - 1) ** 2).sum())
            # A further cause has to explain more than what rounding leaves over.
            if (weights >= 0).all() and error < least - 1e-9:
                best, least = np.zeros(count), error
                best[chosen] = weights
    return [float(weight) for weight in best / scales]
