"""What is asked of an engine, and what it answers. Token ids, not messages.

Whoever asks writes the prompt with the chat template; see `generation.prompt_tokens`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from xturing.core.errors import SettingsError
from xturing.models.settings import GenerationConfig

MOST_ALTERNATIVES = 20
MOST_STOPS = 16
LONGEST_STOP = 1000


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How the tokens of one answer are chosen. Greedy, unless there is a temperature.

    Raises:
        SettingsError: a number is out of its range, or no number.
    """

    max_new_tokens: int = 256
    """Most tokens of the answer, the one that ends it included."""
    temperature: float = 0.0
    """Divides the logits before a token is drawn. 0: the likeliest is taken."""
    top_k: int = 0
    """Draw among that many of the likeliest tokens. 0: among all."""
    top_p: float = 1.0
    """Draw among the likeliest tokens that have this share of the probability."""
    min_p: float = 0.0
    """Draw among tokens at least this share as likely as the likeliest one
    (arXiv 2407.01082)."""
    repetition_penalty: float = 1.0
    """Divides positive logits, and multiplies negative ones, of tokens that stand in
    the prompt or the answer (arXiv 1909.05858)."""
    frequency_penalty: float = 0.0
    """Subtracted from a logit for each time that the answer has the token."""
    presence_penalty: float = 0.0
    """Subtracted from a logit if the answer has the token."""
    stop: tuple[str, ...] = ()
    """Texts before which the answer ends."""
    seed: int | None = None
    """Makes draws repeatable, whatever else is answered beside it."""
    penalty_alpha: float | None = None
    """Weight of the degeneration penalty: contrastive search (arXiv 2202.06417) among
    `top_k` candidates."""
    json_schema: str | None = None
    """A JSON schema, as JSON, that the answer has to fit. "{}": any JSON object."""
    logprobs: int | None = None
    """Tell the log-probability of each token and of that many of the likeliest."""
    lookup_tokens: int = 0
    """Most tokens that are guessed from what was said before, and checked at once.
    What is written stays the same."""

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not _within(value, low, high):
                raise SettingsError(f"{name} is {value!r}; it is {_range(low, high)}.")
        if not self.top_p > 0:
            raise SettingsError("top_p is 0, so no token could be drawn; 1 allows all.")
        if len(self.stop) > MOST_STOPS or not all(
            0 < len(text) <= LONGEST_STOP for text in self.stop
        ):
            raise SettingsError(
                f"stop has {len(self.stop)} texts; give at most {MOST_STOPS}, none of "
                f"them empty or over {LONGEST_STOP} characters."
            )

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0

    @classmethod
    def of(cls, config: GenerationConfig) -> "Decoding":
        """Return what a model's own settings ask for."""
        shared = {field.name for field in fields(cls)} & set(
            GenerationConfig.model_fields
        )
        given = {name: getattr(config, name) for name in shared}
        values = {name: value for name, value in given.items() if value is not None}
        values["temperature"] = (config.temperature or 1.0) if config.do_sample else 0.0
        return cls(**values)


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("max_new_tokens", 1, 1_000_000),
    ("temperature", 0, 100),
    ("top_k", 0, 1_000_000),
    ("top_p", 0, 1),
    ("min_p", 0, 1),
    ("repetition_penalty", 0.01, 100),
    ("frequency_penalty", -100, 100),
    ("presence_penalty", -100, 100),
    ("seed", -(2**63), 2**64 - 1),
    ("penalty_alpha", 0, 1),
    ("logprobs", 0, MOST_ALTERNATIVES),
    ("lookup_tokens", 0, 64),
)


def _within(value: object, low: float, high: float) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and low <= value <= high


def _range(low: float, high: float) -> str:
    return f"a number from {low:g} to {high:g}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt to be continued."""

    prompt: tuple[int, ...]
    """Token ids."""
    decoding: Decoding = Decoding()
    adapter: str | None = None
    """Name of one of the engine's adapters; None: the model as it was opened."""
    deadline: float | None = None
    """When to stop writing, by `time.monotonic`, in seconds."""


@dataclass(frozen=True)
class Token:
    """A token that was written."""

    id: int
    logprob: float | None = None
    """Natural logarithm of its probability by the model itself, before temperature,
    penalties and masks; None unless asked for."""
    alternatives: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens there, with the same."""


@dataclass(frozen=True)
class Finish:
    """Why an answer ended."""

    reason: Literal["stop", "length", "deadline", "cancelled"]
    """stop: by the model or at a stop text. length: `max_new_tokens` or the context."""
    stop: str | None = None
    """The stop text that it came to."""


@dataclass(frozen=True)
class Piece:
    """The next part of an answer."""

    text: str
    """What can be shown already; some tokens show only with those after them."""
    tokens: tuple[Token, ...] = ()
    finish: Finish | None = None
    """Set in the last piece, and in no other."""
    cached_tokens: int = 0
    """In the last piece: tokens of the prompt that were known from another request."""


@dataclass(frozen=True)
class Completion:
    """A whole answer."""

    text: str
    tokens: tuple[Token, ...]
    finish: Finish
    prompt_tokens: int
    cached_tokens: int = 0

    @classmethod
    def of(cls, prompt: Sequence[int], pieces: Sequence[Piece]) -> "Completion":
        """Return the answer that pieces make up."""
        last = pieces[-1]
        if last.finish is None:
            raise ValueError("the answer has not ended")
        return cls(
            text="".join(piece.text for piece in pieces),
            tokens=tuple(token for piece in pieces for token in piece.tokens),
            finish=last.finish,
            prompt_tokens=len(prompt),
            cached_tokens=last.cached_tokens,
        )
