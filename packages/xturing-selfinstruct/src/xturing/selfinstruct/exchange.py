"""What a language model is asked, and what it says.

A request is data: which model answers it, when and how often it is tried is decided
elsewhere.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

FinishReason = Literal["stop", "length", "content_filter", "other"]
FINISH_REASONS: tuple[FinishReason, ...] = get_args(FinishReason)
"""Ends by itself, is cut off at its longest, is withheld, or something else."""

BYTES_AROUND = 32
"""Of a message's role and marks, at the most."""


@dataclass(frozen=True)
class Turn:
    """A message of a request."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """Messages to answer, and how."""

    stage: str
    """What it is for, such as "instructions"; no model sees it."""
    messages: tuple[Turn, ...]
    max_tokens: int
    """Longest answer."""
    temperature: float | None = None
    """0 for the likeliest answer; None for what the service chooses."""
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    """Texts before which an answer ends."""
    sample: int = 0
    """Which of several answers to the same messages is wanted."""

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        return self.messages[-1].content

    def as_dict(self) -> dict[str, Any]:
        """Return the request for a JSON file."""
        return {
            "stage": self.stage,
            "messages": [
                {"role": turn.role, "content": turn.content} for turn in self.messages
            ],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "stop": list(self.stop),
            "sample": self.sample,
        }

    def key(self, model: str) -> str:
        """Return the SHA-256 of all that an answer by this model depends on."""
        told = {"model": model, **self.as_dict()}
        written = json.dumps(told, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()

    def most_prompt_tokens(self) -> int:
        """Return a number of tokens that the messages certainly do not exceed.

        No tokenizer in use makes more than one token of a byte.
        """
        return sum(
            len(turn.content.encode("utf-8", "surrogatepass")) + BYTES_AROUND
            for turn in self.messages
        )


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens that a service counted."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def total(self) -> int:
        """Tokens of prompt and answer."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A model's answer."""

    text: str
    """Empty if there was none."""
    finish_reason: FinishReason
    usage: Usage
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The answer as the service gave it."""

    def as_dict(self) -> dict[str, Any]:
        """Return the reply for a JSON file."""
        return {
            "text": self.text,
            "finish_reason": self.finish_reason,
            "usage": {
                "prompt_tokens": self.usage.prompt_tokens,
                "completion_tokens": self.usage.completion_tokens,
            },
            "raw": dict(self.raw),
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Reply":
        """Return the reply that `as_dict` wrote."""
        return cls(
            text=told["text"],
            finish_reason=told["finish_reason"],
            usage=Usage(**told["usage"]),
            raw=told["raw"],
        )
