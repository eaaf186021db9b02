"""A record as texts that know their role: what curation compares, counts and scans."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xturing.data.records import (
    Conversation,
    Document,
    Judgement,
    Message,
    Preference,
    Record,
)


@dataclass(frozen=True)
class Passage:
    """One text of a record."""

    role: str
    """Who says it, or what it is; the same words in another role are another row."""
    text: str
    where: str
    """What a user finds it by: "message 2", say."""
    is_frame: bool = False
    """Whether many rows are meant to share it: system prompts and tools are so."""


def passages(record: Record) -> tuple[Passage, ...]:
    """Return every text of a record, in order."""
    match record:
        case Document(text, prompt):
            before = (Passage("prompt", prompt, "prompt"),) if prompt else ()
            return (*before, Passage("text", text, "text"))
        case Conversation(messages, tools):
            return (*_tools(tools), *_said(messages))
        case Preference(prompt, chosen, rejected, tools):
            return (
                *_tools(tools),
                *_said(prompt),
                *_said(chosen, "chosen"),
                *_said(rejected, "rejected"),
            )
        case Judgement(conversation, is_wanted):
            verdict = "wanted" if is_wanted else "unwanted"
            return tuple(
                replace(passage, role=f"{verdict} {passage.role}")
                for passage in passages(conversation)
            )


def question(record: Record) -> tuple[Passage, ...]:
    """Return what a record's answer answers; a plain text answers nothing."""
    match record:
        case Document():
            return tuple(p for p in passages(record) if p.where == "prompt")
        case Conversation(messages, tools):
            return (*_tools(tools), *_said(messages[: _last_answer(messages)]))
        case Preference(prompt, _, _, tools):
            return (*_tools(tools), *_said(prompt))
        case Judgement(conversation):
            return question(conversation)


def answer(record: Record) -> tuple[Passage, ...]:
    """Return what a record answers, the better one of a preference; or its text."""
    match record:
        case Document():
            return tuple(p for p in passages(record) if p.where == "text")
        case Conversation(messages):
            last = _last_answer(messages)
            return _said(messages[last : last + 1], first=last + 1)
        case Preference(_, chosen):
            return _said(chosen, "chosen")
        case Judgement(conversation):
            return answer(conversation)


def _last_answer(messages: Sequence[Message]) -> int:
    answers = [i for i, message in enumerate(messages) if message.role == "assistant"]
    return answers[-1] if answers else len(messages)


def _said(
    messages: Sequence[Message], part: str = "", first: int = 1
) -> tuple[Passage, ...]:
    said: list[Passage] = []
    for number, message in enumerate(messages, start=first):
        where = f"{part}, message {number}" if part else f"message {number}"
        role = f"{part} {message.role}" if part else message.role
        if message.is_learnt is not None:
            role += " learnt" if message.is_learnt else " not learnt"
        is_frame = message.role == "system"
        said.append(Passage(role, message.content, where, is_frame))
        said += [
            Passage(
                f"{role} calls {call.name}",
                _json(call.arguments),
                f"{where}, tool call {call.name}",
            )
            for call in message.tool_calls
        ]
    return tuple(said)


def _tools(tools: Sequence[Mapping[str, Any]]) -> tuple[Passage, ...]:
    return tuple(
        Passage("tools", _json(tool), f"tool {number}", is_frame=True)
        for number, tool in enumerate(tools, start=1)
    )


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
