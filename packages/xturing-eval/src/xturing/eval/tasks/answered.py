"""Chats with an answer of which alone the loss is taken."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from xturing.data.records import Conversation, Message


def answered(
    prompt: Sequence[Message],
    answer: Message,
    tools: tuple[Mapping[str, Any], ...] = (),
) -> Conversation:
    """Return a chat and its answer; what the assistant said before is not learnt."""
    given = [
        replace(turn, is_learnt=False if turn.role == "assistant" else None)
        for turn in prompt
    ]
    return Conversation((*given, replace(answer, is_learnt=None)), tools)
