"""Conversations through a chat template: the text, and where each turn stands in it.

The tokenizer's own template writes the text. Where an answer begins is found by asking
the template for the same conversation up to that turn, ready for the model to speak; so
what is learnt is what the model has to say after the prompt that it will be served.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jinja2 import TemplateError

from xturing.core.errors import DataError
from xturing.data.records import Conversation, Message


class Tokenizer(Protocol):
    """What encoding needs of a tokenizer; those of transformers have it."""

    chat_template: Any
    bos_token_id: Any
    eos_token_id: Any
    is_fast: bool
    added_tokens_decoder: Any

    def __call__(self, text: Any, **options: Any) -> Any:
        """Return the ids and offsets of one text or several."""
        ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any:
        """Return the text of a conversation."""
        ...


@dataclass(frozen=True)
class Turn:
    """Where one answer stands in a rendered conversation, in characters."""

    start: int
    """Where the model begins to speak."""
    answer_end: int
    """Where its words end."""
    end: int
    """Where the template's text for the turn ends."""
    is_closed: bool = True
    """Whether the text itself holds the token that ends the turn."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as the text that a chat template makes of it."""

    text: str
    turns: tuple[Turn, ...]
    prompts: tuple[tuple[int, int], ...]
    """Start and end of each message of the system or user."""


def render(record: Conversation, tokenizer: Tokenizer, place: str) -> Rendered:
    """Return the text of a conversation and the places of its turns.

    Raises:
        DataError: the template fails on it, or changes what was said.
    """
    if tokenizer.chat_template is None:
        raise DataError(
            "The tokenizer has no chat template, so conversations cannot be written "
            "for it. Give the model one, or use a TextDataset."
        )
    messages = record.messages
    text = _apply(tokenizer, messages, place)
    turns = []
    prompts = []
    cursor = 0
    for index, message in enumerate(messages):
        if message.role == "assistant":
            turn = _turn(tokenizer, messages, index, text, place)
            turns.append(turn)
            cursor = turn.end
            continue
        start = text.find(message.content.strip(), cursor)
        # Words that a template rewrites are its own: they count as template.
        if start >= 0:
            cursor = start + len(message.content.strip())
            prompts.append((start, cursor))
    return Rendered(text, tuple(turns), tuple(prompts))


def _turn(
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    index: int,
    text: str,
    place: str,
) -> Turn:
    prompt = _apply(tokenizer, messages[:index], place, ready=True)
    done = (
        text
        if index == len(messages) - 1
        else _apply(tokenizer, messages[: index + 1], place)
    )
    if not (text.startswith(done) and done.startswith(prompt)):
        raise DataError(
            f"{place}, message {index + 1}: the chat template writes this turn "
            "differently once others follow it, so what the model would learn is not "
            "what it will be served. Use a template that keeps earlier turns as they "
            "are, or rows that end with this turn."
        )
    said = messages[index].content
    words = said if text.startswith(said, len(prompt)) else said.strip()
    start = text.find(words, len(prompt), len(done))
    if start < 0 or text[len(prompt) : start].strip():
        raise DataError(
            f"{place}, message {index + 1}: the chat template changes the assistant's "
            "words or puts others before them. Use a template that writes answers as "
            "they are."
        )
    return Turn(len(prompt), start + len(words), len(done))


def _apply(
    tokenizer: Tokenizer, messages: Sequence[Message], place: str, ready: bool = False
) -> str:
    conversation = [{"role": turn.role, "content": turn.content} for turn in messages]
    try:
        return tokenizer.apply_chat_template(
            conversation, tokenize=False, add_generation_prompt=ready
        )
    except TemplateError as error:
        raise DataError(
            f"{place}: the chat template refuses this conversation: {error}"
        ) from error
