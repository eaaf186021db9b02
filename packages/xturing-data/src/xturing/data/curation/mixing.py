"""Several datasets as one, in the proportions that are asked for."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, inf

from xturing.core.errors import DataError, SettingsError
from xturing.data.datasets import BaseDataset


@dataclass(frozen=True)
class Share:
    """What one dataset gives to a mixture."""

    origin: str
    weight: float
    rows: int
    """Rows it has."""
    taken: int
    """Rows it gives; those beyond `rows` are repeated ones."""

    @property
    def epochs(self) -> float:
        """How often each of its rows is taken, on the average."""
        return self.taken / self.rows


@dataclass(frozen=True)
class Mixture:
    """Which rows of several datasets make one, and in what order."""

    shares: tuple[Share, ...]
    picks: tuple[tuple[int, int], ...]
    """The dataset, and the row of it, of each row of the mixture."""


def mix(
    datasets: Sequence[BaseDataset],
    weights: Sequence[float],
    *,
    seed: int,
    rows: int | None = None,
    repeat: bool = False,
) -> tuple[BaseDataset, Mixture]:
    """Return datasets mixed by weight and shuffled, and what was taken from each.

    Every count is within one row of what its weight asks for. The mixture ends before a
    dataset would have to be repeated; with `repeat`, when every row was taken at least
    once, and datasets that are used up earlier begin anew; or after `rows` rows.

    Raises:
        DataError: the datasets are of different kinds, one is empty, or they have too
            few rows and may not be repeated.
        SettingsError: the weights are not one positive number for each dataset.
    """
    _check(datasets, weights)
    sizes = [len(dataset) for dataset in datasets]
    total = sum(map(Fraction, weights))
    portions = [Fraction(weight) / total for weight in weights]
    reach = [size / portion for size, portion in zip(sizes, portions, strict=True)]
    most = floor(min(reach))
    if rows is None:
        rows = ceil(max(reach)) if repeat else most
    if rows < 1 or (rows > most and not repeat):
        raise DataError(
            f"A mixture of {rows} rows cannot be made: without repeating any, these "
            f"datasets and weights give 1 to {most}. Ask for that many, or repeat rows."
        )
    taken = _counts(rows, portions)
    picks = _picks(sizes, taken, seed)
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    joined = type(datasets[0]).joined(datasets)
    shares = tuple(
        Share(dataset.origin, weight, size, count)
        for dataset, weight, size, count in zip(
            datasets, weights, sizes, taken, strict=True
        )
    )
    mixed = joined.select([starts[source] + row for source, row in picks])
    return mixed, Mixture(shares, tuple(picks))


def _check(datasets: Sequence[BaseDataset], weights: Sequence[float]) -> None:
    if (
        not datasets
        or len(weights) != len(datasets)
        or not all(0 < w < inf for w in weights)
    ):
        raise SettingsError(
            f"There are {len(datasets)} datasets and the weights {list(weights)}. Give "
            "each dataset one positive weight; leave out what is not to be mixed in."
        )
    for dataset in datasets:
        if not len(dataset):
            raise DataError(f"{dataset.origin} holds no rows to mix in.")


def _counts(rows: int, portions: Sequence[Fraction]) -> list[int]:
    """Return whole numbers that add up to `rows`, by largest remainder."""
    counts = [floor(rows * portion) for portion in portions]
    by_remainder = sorted(
        range(len(portions)), key=lambda i: counts[i] - rows * portions[i]
    )
    for index in by_remainder[: rows - sum(counts)]:
        counts[index] += 1
    return counts


def _picks(
    sizes: Sequence[int], taken: Sequence[int], seed: int
) -> list[tuple[int, int]]:
    picks: list[tuple[int, int]] = []
    for source, (size, count) in enumerate(zip(sizes, taken, strict=True)):
        for epoch in range(ceil(count / size)):
            order = list(range(size))
            random.Random(f"{seed}/{source}/{epoch}").shuffle(order)
            picks += [(source, row) for row in order[: count - epoch * size]]
    random.Random(f"{seed}/order").shuffle(picks)
    return picks
