"""What a row means: a conversation whose answers are learnt, or a text."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Conversation:
    """Turns of which the assistant's are learnt."""

    messages: tuple[Message, ...]

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


Record = Conversation | Document
