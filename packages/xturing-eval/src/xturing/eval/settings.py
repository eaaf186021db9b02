"""What users can set about an evaluation."""

from typing import Annotated

from pydantic import Field

from xturing.core.resampling import RESAMPLES
from xturing.core.settings import Settings

Positive = Annotated[int, Field(gt=0)]


class EvalConfig(Settings):
    """How models are evaluated.

    What a task says of answers holds unless it is set here.
    """

    limit: Positive | None = None
    """Rows from the start that are asked; all if not set."""
    batch_size: Positive = 8
    """Answers that are written at once. Scores of given texts take as many rows as
    compute fastest."""
    max_new_tokens: Positive | None = None
    """Most tokens of an answer; the task's, or 256."""
    samples: Positive | None = None
    """Answers to each question; the task's, or 1. Several need a temperature."""
    temperature: Annotated[float, Field(gt=0)] | None = None
    """Has tokens drawn by their probability; the task's, or always the likeliest."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Probability mass of the tokens that are drawn from; all if not set."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides examples in prompts, draws, and the rows that intervals draw."""
    resamples: Annotated[int, Field(ge=100)] = RESAMPLES
    """How often rows are drawn anew for an interval."""
    forgetting: bool | None = None
    """Whether the loss on general text is taken. Not set: where models are compared."""
    contamination: bool = True
    """Whether rows are looked up in what a model was trained on, if it tells that."""
