"""Chats with an answer of which alone the loss is taken."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from xturing.data.records import Conversation, Message
from xturing.data.turns import call_object


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


def spoken(message: Message) -> dict[str, Any]:
    """Return a message as chat templates take it."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [
            {"type": "function", "function": call_object(call)}
            for call in message.tool_calls
        ]
    return turn
