"""What the requests of OpenAI's protocol have in common.

Every field is checked, and none is passed over in silence: what OpenAI has and this
server does without is listed, and anything else is refused with the nearest name.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xturing.core.names import suggestion
from xturing.models.inference.requests import (
    LONGEST_STOP,
    MOST_ALTERNATIVES,
    MOST_STOPS,
)

MOST_CHOICES = 16
MOST_TOKENS = 1_000_000

FIRST_FAULT = Field(fail_fast=True)
"""Has a list's check end at its first fault: a million faults would fill the memory."""
StopText = Annotated[str, Field(min_length=1, max_length=LONGEST_STOP)]
Stops = Annotated[list[StopText], Field(max_length=MOST_STOPS), FIRST_FAULT]
Penalty = Annotated[float, Field(ge=-100, le=100)]
Alternatives = Annotated[int, Field(ge=0, le=MOST_ALTERNATIVES)]
Empty = Annotated[dict[str, Any], Field(max_length=0)]


class UnknownFieldError(ValueError):
    """A field that no request has; pydantic tells it on."""

    def __init__(self, name: str, hint: str) -> None:
        super().__init__(f"There is no field '{name[:100]}'. {hint}")
        self.name = name


class Fields(BaseModel):
    """A JSON object whose fields are all known."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        known = {field.alias or name for name, field in cls.model_fields.items()}
        for name in value:
            if name not in known:
                raise UnknownFieldError(name, suggestion(name[:100], known))
        return value


class StreamOptions(Fields):
    """What a stream tells of besides the answer."""

    include_usage: bool = False
    """End with a chunk that has the numbers of tokens."""
    include_obfuscation: bool = False
    """Without effect."""


class Sampling(Fields):
    """How an answer is written. What is left out is as the model's settings say."""

    model: Annotated[str, Field(max_length=1000)]
    """Name of the base model, or of an adapter."""
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    """0: the likeliest token is always taken."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    penalty_alpha: Annotated[float, Field(ge=0, le=1)] | None = None
    """Contrastive search among `top_k` candidates."""
    stop: StopText | Stops | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**64 - 1)] | None = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    """Answers to each prompt."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    """Without effect."""
    logit_bias: Empty | None = None
    """Only empty: tokens cannot be favoured here."""

    @model_validator(mode="after")
    def _check_stream_options(self) -> "Sampling":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options goes with stream: true")
        return self

    @property
    def choices(self) -> int:
        """How many answers there are to each prompt."""
        return self.n or 1

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts."""
        if self.stop is None:
            return ()
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with the numbers of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage


class NoFormat(Fields):
    """Answers are any text."""

    type: Literal["text"]


class JsonObject(Fields):
    """Answers are a JSON object."""

    type: Literal["json_object"]


class NamedSchema(Fields):
    """A JSON schema."""

    model_config = ConfigDict(validate_by_name=True)

    name: Annotated[str, Field(max_length=64)]
    description: str | None = None
    json_schema: dict[str, Any] = Field(default_factory=dict, alias="schema")
    strict: bool | None = None
    """Without effect: answers always fit the schema."""


class JsonSchema(Fields):
    """Answers fit a JSON schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


ResponseFormat = Annotated[
    NoFormat | JsonObject | JsonSchema, Field(discriminator="type")
]
