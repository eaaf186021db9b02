"""The turns of a conversation as rows write them, and back.

Both ways of writing are read: `role` and `content` as OpenAI has it, and `from` and
`value` as ShareGPT has it. Tools and their arguments become JSON text, because a table
cannot hold objects whose keys differ from row to row.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from xturing.core.errors import DataError
from xturing.data.fields import Row, filled, parsed, string, wrong
from xturing.data.records import ROLES, Message, Role, ToolCall
from xturing.data.wording import brief

ROLE_NAMES: Mapping[str, Role] = {
    **{role: role for role in ROLES},
    "developer": "system",
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "function": "tool",
}
"""What others call the roles -> what we call them."""

FLAGS = ("train", "weight", "learn")
"""Fields that say whether a turn is learnt: Axolotl's, OpenAI's and a plain one."""

LOST = ("reasoning_content", "reasoning", "thinking", "train_detail", "function_call")
"""Fields of a turn that a `Message` has no place for."""


def read_turns(value: object, column: str, place: str) -> tuple[Message, ...]:
    """Return the turns that a field holds: a list, one turn, or JSON of either.

    Raises:
        DataError: it holds none, or one is wrong; the error names its number.
    """
    turns = parsed(value, f"{place}, field '{column}'")
    if isinstance(turns, Mapping):
        turns = [turns]
    if not isinstance(turns, list | tuple) or not turns:
        raise wrong(value, column, "a list of messages", place)
    return tuple(
        _message(turn, f"{place}, field '{column}', message {number}")
        for number, turn in enumerate(turns, start=1)
    )


def write_turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages as `read_turns` reads them, in OpenAI's form."""
    return [_turn(message) for message in messages]


def spoken(message: Message) -> dict[str, Any]:
    """Return a message as chat templates take it."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [
            {"type": "function", "function": call_object(call)}
            for call in message.tool_calls
        ]
    return turn


def read_tools(value: object, place: str) -> tuple[Mapping[str, Any], ...]:
    """Return the tools that a field holds, each in the form that templates expect.

    Raises:
        DataError: it is no list of objects with a name.
    """
    tools = parsed(value, f"{place}, field 'tools'")
    if tools is None or tools == "":
        return ()
    if not isinstance(tools, list | tuple):
        raise wrong(value, "tools", "a list of JSON schemas", place)
    return tuple(_tool(tool, place) for tool in tools)


def write_tools(tools: Sequence[Mapping[str, Any]]) -> str:
    """Return tools as JSON."""
    return json.dumps(list(tools), ensure_ascii=False)


def call_object(call: ToolCall) -> dict[str, Any]:
    """Return a tool call as an object with a name and arguments."""
    return {"name": call.name, "arguments": dict(call.arguments)}


def _message(turn: object, place: str) -> Message:
    if not isinstance(turn, Mapping):
        raise DataError(
            f"{place} is {brief(turn)}. A message has a 'role' and a 'content'."
        )
    speaker, said = ("from", "value") if "from" in turn else ("role", "content")
    name = string(turn, speaker, place)
    role = ROLE_NAMES.get(name)
    if role is None:
        raise DataError(
            f"{place} has the role {brief(name)}; a role is one of "
            f"{', '.join(ROLE_NAMES)}."
        )
    for column in LOST:
        if turn.get(column):
            raise DataError(
                f"{place} has '{column}', which would be lost. Write it into the "
                f"'{said}', or leave it out."
            )
    calls = turn.get(said) if name == "function_call" else turn.get("tool_calls")
    if calls and role != "assistant":
        raise DataError(
            f"{place} has 'tool_calls', but its role is '{name}': only the assistant "
            "calls tools."
        )
    tool_calls = _calls(calls, place) if calls else ()
    content = "" if name == "function_call" else _content(turn, said, tool_calls, place)
    if role in ("user", "assistant") and not tool_calls:
        filled(content, said, place)
    return Message(role, content, tool_calls, _flag(turn, role, place))


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(dict(call.arguments), ensure_ascii=False),
                },
            }
            for call in message.tool_calls
        ]
    if message.is_learnt is not None:
        turn["train"] = message.is_learnt
    return turn


def _content(turn: Row, column: str, calls: Sequence[ToolCall], place: str) -> str:
    value = turn.get(column)
    if value is None and calls:
        return ""
    if not isinstance(value, list | tuple):
        return string(turn, column, place)
    texts = [
        part["text"]
        for part in value
        if isinstance(part, Mapping) and isinstance(part.get("text"), str)
    ]
    if len(texts) < len(value):
        raise wrong(value, column, "a string or a list of parts with a text", place)
    return "".join(texts)


def _flag(turn: Row, role: Role, place: str) -> bool | None:
    given = {flag: turn[flag] for flag in FLAGS if turn.get(flag) is not None}
    for flag, value in given.items():
        if value not in (0, 1):
            raise wrong(value, flag, "true, false, 1 or 0", place)
    if len({bool(value) for value in given.values()}) > 1:
        raise DataError(f"{place} has {given}, which contradict each other.")
    for value in given.values():
        # A flag that says what the role says already adds nothing.
        return None if bool(value) == (role == "assistant") else bool(value)
    return None


def _calls(value: object, place: str) -> tuple[ToolCall, ...]:
    calls = parsed(value, place)
    if isinstance(calls, Mapping):
        calls = [calls]
    if not isinstance(calls, list | tuple):
        raise _wrong_call(value, place)
    return tuple(_call(call, place) for call in calls)


def _call(value: object, place: str) -> ToolCall:
    call = value.get("function", value) if isinstance(value, Mapping) else None
    name = call.get("name") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(name, str):
        raise _wrong_call(value, place)
    arguments = parsed(call.get("arguments") or {}, place)
    if not isinstance(arguments, Mapping):
        raise _wrong_call(value, place)
    return ToolCall(name, arguments)


def _wrong_call(value: object, place: str) -> DataError:
    return DataError(
        f"{place} has the tool call {brief(value)}. A tool call is "
        '{"name": …, "arguments": {…}}, or such an object as "function".'
    )


def _tool(value: object, place: str) -> Mapping[str, Any]:
    schema = value.get("function", value) if isinstance(value, Mapping) else None
    if not isinstance(schema, Mapping) or not isinstance(schema.get("name"), str):
        raise DataError(
            f"{place}, field 'tools' has {brief(value)}. A tool is "
            '{"name": …, "description": …, "parameters": {…}}, or such an object as '
            '"function".'
        )
    if isinstance(value, Mapping) and "function" in value:
        return value
    return {"type": "function", "function": dict(schema)}
