"""Which tokens may be drawn, and how likely each of them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.models.inference.requests import Decoding


def candidates(
    scores: NDArray[Any], decoding: Decoding
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the ids of tokens that may be drawn, ascending, and their weights.

    From logits of shape (vocabulary,) of which one at least is above -inf: temperature,
    then top-k, top-p (arXiv 1904.09751) and min-p (arXiv 2407.01082). Weights are in
    proportion to the probabilities; the largest is 1.
    """
    scaled = _scaled(scores, decoding.temperature)
    if 0 < decoding.top_k < len(scaled):
        # Those as high as the last one stay with it.
        last = np.partition(scaled, -decoding.top_k)[-decoding.top_k]
        ids = np.flatnonzero(scaled >= last)
        weights = np.exp(scaled[ids])
    else:
        ids, weights = np.arange(len(scaled)), np.exp(scaled, out=scaled)
    if decoding.top_p < 1:
        kept = _nucleus(weights, decoding.top_p)
        ids, weights = ids[kept], weights[kept]
    if decoding.min_p > 0:
        kept = weights >= decoding.min_p
        ids, weights = ids[kept], weights[kept]
    return ids, weights


def _scaled(scores: NDArray[Any], temperature: float) -> NDArray[Any]:
    """Return logits over the temperature, less the highest."""
    highest = scores.max()
    if highest == np.inf:
        # Beside something that is certain, all else is impossible.
        return np.where(scores == np.inf, np.float32(0), np.float32(-np.inf))
    with np.errstate(over="ignore"):
        scaled = scores - highest
        # A temperature may be too low for float32.
        return np.divide(
            scaled, temperature, out=scaled, dtype=np.float64, casting="same_kind"
        )


def _nucleus(weights: NDArray[Any], share: float) -> NDArray[Any]:
    """Return the places of the fewest weights that make up the share of the sum."""
    total = weights.sum(dtype=np.float64)
    # Weights below this do not make up the rest even together, so need no sorting.
    heavy = np.flatnonzero(weights >= (1 - share) * total / len(weights))
    order = heavy[np.argsort(-weights[heavy], kind="stable")]
    up_to = weights[order].astype(np.float64).cumsum()
    before = np.concatenate(([0.0], up_to[:-1]))
    return np.sort(order[before < share * total])
