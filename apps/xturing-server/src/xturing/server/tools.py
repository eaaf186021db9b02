"""Calls of tools, read from what a model wrote.

Models that were trained on them (Hermes, Qwen) write each as
<tool_call>{"name": …, "arguments": …}</tool_call>. One that has to call a tool is held
to the JSON alone.
"""

import json
import re
from collections.abc import Collection, Sequence
from typing import Any
from uuid import uuid4

from xturing.server.schemas.chat import Tool
from xturing.server.schemas.replies import CalledFunction, ToolCall

_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


def read_calls(text: str, tools: Sequence[Tool]) -> tuple[str, list[ToolCall]]:
    """Return an answer without the calls in it, and the calls.

    What is marked as a call but is none, or of no tool that was offered, stays text.
    """
    names = {tool.function.name for tool in tools}
    calls: list[ToolCall] = []

    def take(match: re.Match[str]) -> str:
        call = _call(match[1], names)
        if call is None:
            return match[0]
        calls.append(call)
        return ""

    rest = _CALL.sub(take, text)
    return (rest.strip() if calls else text), calls


def read_bare_call(text: str, tools: Sequence[Tool]) -> list[ToolCall]:
    """Return the call that an answer under `call_schema` is; none if it was cut off."""
    call = _call(text, {tool.function.name for tool in tools})
    return [] if call is None else [call]


def call_schema(tools: Sequence[Tool]) -> str:
    """Return the JSON schema of a call of one of the tools, as JSON."""
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool.function.name},
                "arguments": tool.function.parameters or {"type": "object"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for tool in tools
    ]
    return json.dumps(calls[0] if len(calls) == 1 else {"anyOf": calls})


def _call(text: str, names: Collection[str]) -> ToolCall | None:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("name") not in names:
        return None
    arguments = value.get("arguments", {})
    if not isinstance(arguments, dict):
        return None
    written = json.dumps(arguments, ensure_ascii=False)
    called = CalledFunction(name=value["name"], arguments=written)
    return ToolCall(id=f"call_{uuid4().hex[:24]}", function=called)
