"""What models are asked, and what came of it: one question a row.

A question is data of its task; an outcome is what one model made of it. Metrics need
nothing else, so that they can be computed again without a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xturing.data.records import Conversation, Document, Message


@dataclass(frozen=True, kw_only=True)
class Question:
    """A row of an evaluation: what a model is given, and what would be right."""

    row: int
    """Index among the questions of its task."""
    place: str
    """Where the row came from."""
    prompt: str | list[dict[str, Any]]
    """Messages for the chat template, or a text to be continued as it stands."""
    record: Conversation | Document | None = None
    """The prompt with its reference, whose loss tells how likely it is to the model;
    None where there is no reference."""
    reference: str | None = None
    """The answer that is right."""
    choices: tuple[str, ...] = ()
    """Answers of which one is right."""
    right: int | None = None
    """Index of that one."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The row as it stands in its file."""

    def answered(self, answer: str) -> Conversation | Document:
        """Return the prompt with an answer to it, of which alone the loss is taken."""
        if isinstance(self.prompt, str):
            return Document(answer, prompt=self.prompt)
        turns = [
            Message(turn["role"], turn.get("content") or "", is_learnt=False)
            for turn in self.prompt
        ]
        return Conversation((*turns, Message("assistant", answer)))


@dataclass(frozen=True, kw_only=True)
class Written:
    """An answer that a model wrote."""

    text: str
    tokens: int
    """How many tokens it took, the end token included."""
    stopped: bool
    """Whether the model ended it, rather than the limit on new tokens."""


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """How likely a given text is to a model."""

    nats: float
    """Minus the sum of its tokens' log-probabilities."""
    tokens: int
    bytes: int
    """Of its words in UTF-8."""
    is_likeliest: bool
    """Whether greedy decoding would have written just this."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a model made of a question; what was not asked for is empty."""

    question: Question
    answers: tuple[Written, ...] = ()
    """Several where samples were asked for."""
    reference: Likelihood | None = None
    """Of the question's reference, its end token included."""
    choices: tuple[Likelihood, ...] = ()
    """Of the question's choices, in their order."""

    @property
    def answer(self) -> str:
        """The first answer's text."""
        return self.answers[0].text
