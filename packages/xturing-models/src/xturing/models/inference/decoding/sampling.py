"""Choosing an answer's next token from the logits."""

import math
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import EngineError
from xturing.models.inference.decoding.candidates import candidates
from xturing.models.inference.decoding.constraint import Constraint
from xturing.models.inference.decoding.penalties import Penalties
from xturing.models.inference.requests import Decoding, Token


class Sampler:
    """Chooses the tokens of one answer, one after the other.

    It draws from a generator of its own, once for each token, so that a seed gives the
    same answer whatever is answered beside it.
    """

    def __init__(
        self,
        decoding: Decoding,
        prompt: Sequence[int],
        constraint: Constraint | None = None,
    ) -> None:
        self._decoding = decoding
        self._constraint = constraint
        self._penalties = Penalties(decoding, prompt)
        self._written = 0
        seed = secrets.randbits(64) if decoding.seed is None else decoding.seed
        self._generator = np.random.Generator(np.random.PCG64(seed % 2**64))

    def choose(self, logits: NDArray[Any]) -> Token:
        """Return the next token, and take it on.

        `logits`, of shape (vocabulary,) in float32, are the model's own; they are left
        as they are.

        Raises:
            EngineError: one of them is no number, or no token is allowed.
        """
        likeliest = int(logits.argmax())
        if math.isnan(logits[likeliest]):
            raise EngineError(
                f"The model's logit of token {likeliest} is not a number (NaN), at "
                f"token {self._written + 1} of the answer. Its weights are broken, or "
                "too large for the precision that it computes in; load it anew, or "
                "without quantization."
            )
        chosen = self._chosen(logits, likeliest)
        token = _token(chosen, logits, self._decoding.logprobs)
        self._penalties.count(chosen)
        if self._constraint is not None:
            self._constraint.advance(chosen)
        self._written += 1
        return token

    def _chosen(self, logits: NDArray[Any], likeliest: int) -> int:
        scores = self._scores(logits)
        if scores is not logits:
            likeliest = int(scores.argmax())
        if scores[likeliest] == -np.inf:
            raise EngineError(
                f"No token is allowed as token {self._written + 1} of the answer: the "
                "logits of all are minus infinity. Ask without json_schema; if that "
                "fails as well, the model's weights are broken."
            )
        if self._decoding.is_greedy:
            return likeliest
        ids, weights = candidates(scores, self._decoding)
        sums = weights.astype(np.float64)
        # In place: new memory costs more than the sums.
        np.cumsum(sums, out=sums)
        drawn = self._generator.random() * sums[-1]
        return int(ids[np.searchsorted(sums[:-1], drawn, side="right")])

    def _scores(self, logits: NDArray[Any]) -> NDArray[Any]:
        """Return the logits, masked and penalized; no copy where nothing is changed."""
        masked = logits if self._constraint is None else self._constraint.mask(logits)
        if self._penalties.are_idle:
            return masked
        scores = logits.copy() if masked is logits else masked
        self._penalties.apply(scores)
        return scores


def _token(chosen: int, logits: NDArray[Any], wanted: int | None) -> Token:
    """Return a token with as many of the likeliest ones as are wanted."""
    if wanted is None:
        return Token(chosen)
    logprobs = _log_probabilities(logits)
    ids = _highest(logprobs, wanted)
    alternatives = tuple((int(each), float(logprobs[each])) for each in ids)
    return Token(chosen, float(logprobs[chosen]), alternatives)


def _log_probabilities(logits: NDArray[Any]) -> NDArray[Any]:
    exact = logits.astype(np.float64)
    highest = exact.max()
    if highest == np.inf:
        exact = np.where(exact == np.inf, 0.0, -np.inf)
    elif highest > -np.inf:
        exact -= highest
    return exact - np.log(np.exp(exact).sum())


def _highest(values: NDArray[Any], count: int) -> NDArray[Any]:
    """Return the places of the highest values, the first of equal ones first."""
    count = min(count, len(values))
    if not count:
        return np.arange(0)
    found = np.flatnonzero(values >= np.partition(values, -count)[-count])
    return found[np.argsort(-values[found], kind="stable")][:count]
