"""What a row means: a conversation, a text, a preference, a judgement or a picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class ToolCall:
    """A function that the assistant wants called."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Only the assistant has some; its content may be empty then."""
    is_learnt: bool | None = None
    """Whether the turn is learnt; None for what its role says: the assistant's are."""

    @property
    def learns(self) -> bool:
        """Whether the turn enters the loss."""
        return self.role == "assistant" if self.is_learnt is None else self.is_learnt


@dataclass(frozen=True)
class Conversation:
    """Turns of which the assistant's are learnt, unless they say otherwise."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    """What the assistant may call, each as a JSON schema of the usual form."""

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The turns before the last one of the assistant."""
        last = max(
            index
            for index, message in enumerate(self.messages)
            if message.role == "assistant"
        )
        return self.messages[:last]


@dataclass(frozen=True)
class Document:
    """A text that is learnt, after a prompt that is not."""

    text: str
    prompt: str = ""


@dataclass(frozen=True)
class Preference:
    """Two ways to go on from the same turns, the first of them the better."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Judgement:
    """A conversation, and whether its answer is wanted."""

    conversation: Conversation
    is_wanted: bool

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The turns before the last one of the assistant."""
        return self.conversation.prompt


Record = Conversation | Document | Preference | Judgement


@dataclass(frozen=True)
class Placed:
    """A record and words that lead a user to where it came from."""

    record: Record
    place: str
