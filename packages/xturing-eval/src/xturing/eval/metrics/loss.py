"""How likely the reference is to the model."""

import math
from collections.abc import Sequence

import numpy as np

from xturing.core.errors import DataError
from xturing.core.resampling import Numbers
from xturing.eval.metrics import Figure, Need, mean, over
from xturing.eval.questions import Likelihood, Outcome, Question

LARGEST_EXPONENT = 700
"""Of e, in double precision; beyond it a perplexity is infinite."""


def perplexity(sums: Numbers) -> Numbers:
    """Return e to the power of the loss."""
    nats = mean(sums)
    found = np.exp(np.minimum(nats, LARGEST_EXPONENT))
    return np.where(nats > LARGEST_EXPONENT, np.inf, found)


def bits_per_byte(sums: Numbers) -> Numbers:
    """Return the bits that a byte of text takes, whatever the tokens are."""
    return over(sums, 0, 2) / math.log(2)


def finite_nats(found: Likelihood, what: str) -> float:
    """Return the nats of a text.

    Raises:
        DataError: they are not finite.
    """
    if math.isfinite(found.nats):
        return found.nats
    raise DataError(
        f"The loss of {what} is {found.nats}: the model's numbers overflow there. Load "
        "it in float32; if that does not help, its weights are damaged."
    )


class Loss:
    """The references' loss in nats per token, their perplexity, and bits per byte.

    All tokens weigh the same, whichever row they are of. Only bits per byte can be
    compared between models whose tokens differ.
    """

    name = "loss"
    needs: Need = "reference"
    figures = (
        Figure(name="loss", of=mean, higher_is_better=False),
        Figure(name="perplexity", of=perplexity, higher_is_better=False),
        Figure(name="bits_per_byte", of=bits_per_byte, higher_is_better=False),
    )

    def __init__(self, questions: Sequence[Question]) -> None:
        for question in questions:
            if question.record is None:
                raise DataError(
                    f"{question.place} has no reference whose loss could be computed, "
                    "so the metric 'loss' cannot be. Name the column that holds it "
                    "(`target` in a task, --map for rows), or leave the metric out."
                )

    def measure(self, outcome: Outcome) -> tuple[float, ...]:
        """Return nats, tokens and bytes."""
        found = outcome.reference
        place = outcome.question.place
        if found is None:
            raise DataError(
                f"The reference of {place} was not scored, so it has no loss. Compute "
                "the outcomes again with the metric 'loss' among those asked for."
            )
        nats = finite_nats(found, f"the reference of {place}")
        return nats, float(found.tokens), float(found.bytes)
