"""Records to rows of a shape, or a refusal: nothing is lost on the way.

`read_row` and `to_record` are the way back; what was converted means the same again.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from xturing.core.errors import DataError
from xturing.core.names import suggestion
from xturing.data.records import (
    Conversation,
    Document,
    Judgement,
    Message,
    Placed,
    Preference,
    Record,
)
from xturing.data.turns import call_object, write_tools, write_turns


class _UnfitError(Exception):
    """What a shape has no place for."""


def convert(records: Iterable[Placed], to: str) -> Iterator[dict[str, Any]]:
    """Return the records as rows of the shape `to`, one by one.

    Raises:
        DataError: there is no such shape to write, or it cannot hold what a record
            says; the message names the row.
    """
    write = WRITERS.get(to)
    if write is None:
        raise DataError(f"No rows of the shape '{to}' can be written. {_known(to)}")
    return _rows(records, to, write)


def _rows(
    records: Iterable[Placed], to: str, write: "_Writer"
) -> Iterator[dict[str, Any]]:
    for placed in records:
        try:
            yield write(placed.record)
        except _UnfitError as error:
            raise DataError(
                f"{placed.place} has {error}, which rows of the shape {to} "
                "cannot hold. Convert to another shape, or leave the row out."
            ) from None


def _messages(record: Record) -> dict[str, Any]:
    chat = _chat(record)
    return {"messages": write_turns(chat.messages), **_tools(chat)}


def _sharegpt(record: Record) -> dict[str, Any]:
    chat = _chat(record)
    return {"conversations": [_spoken(turn) for turn in chat.messages], **_tools(chat)}


def _alpaca(record: Record) -> dict[str, Any]:
    system, pairs = _pairs(_chat(record))
    *history, (question, answer) = pairs
    row: dict[str, Any] = {"instruction": question, "input": "", "output": answer}
    if system:
        row["system"] = system
    if history:
        row["history"] = [list(pair) for pair in history]
    return row


def _xturing(record: Record) -> dict[str, Any]:
    system, pairs = _pairs(_chat(record))
    if system:
        raise _UnfitError("a system message")
    if len(pairs) > 1:
        raise _UnfitError(f"{len(pairs)} questions")
    [(question, answer)] = pairs
    return {"instruction": question, "text": "", "target": answer}


def _prompt_completion(record: Record) -> dict[str, Any]:
    chat = _chat(record)
    prompt = chat.prompt
    if any(turn.learns for turn in prompt):
        raise _UnfitError("more than one turn to learn")
    return _sides(chat, prompt=prompt, completion=chat.messages[len(prompt) :])


def _preference(record: Record) -> dict[str, Any]:
    if not isinstance(record, Preference):
        raise _UnfitError(_what(record))
    return _sides(
        record, prompt=record.prompt, chosen=record.chosen, rejected=record.rejected
    )


def _kto(record: Record) -> dict[str, Any]:
    if not isinstance(record, Judgement):
        raise _UnfitError(_what(record))
    chat, prompt = record.conversation, record.prompt
    sides = _sides(chat, prompt=prompt, completion=chat.messages[len(prompt) :])
    return sides | {"label": record.is_wanted}


def _text(record: Record) -> dict[str, Any]:
    if not isinstance(record, Document):
        raise _UnfitError(_what(record))
    if record.prompt:
        return {"text": record.prompt, "target": record.text}
    return {"text": record.text}


_Writer = Callable[[Record], dict[str, Any]]

WRITERS: Mapping[str, _Writer] = {
    "messages": _messages,
    "alpaca": _alpaca,
    "xturing": _xturing,
    "sharegpt": _sharegpt,
    "prompt_completion": _prompt_completion,
    "preference": _preference,
    "kto": _kto,
    "text": _text,
}
"""The shapes that can be written, and what writes a record in each."""


def _known(name: str) -> str:
    return suggestion(name, WRITERS)


def _chat(record: Record) -> Conversation:
    if not isinstance(record, Conversation):
        raise _UnfitError(_what(record))
    return record


def _what(record: Record) -> str:
    return f"a {type(record).__name__.lower()}"


def _pairs(chat: Conversation) -> tuple[str, list[tuple[str, str]]]:
    """Return what the system says, and each question with its answer."""
    if chat.tools:
        raise _UnfitError("tools")
    if any(turn.is_learnt is not None for turn in chat.messages):
        raise _UnfitError("turns marked as learnt or not")
    turns, system = chat.messages, ""
    if turns[0].role == "system":
        system, turns = turns[0].content, turns[1:]
        if not system.strip():
            raise _UnfitError("an empty system message")
    questions, answers = turns[::2], turns[1::2]
    roles = [("user", "assistant")] * len(questions)
    pairs = list(zip(questions, answers, strict=False))
    if [(asked.role, said.role) for asked, said in pairs] != roles:
        raise _UnfitError("turns that are not a question and an answer in turn")
    if any(said.tool_calls for said in answers):
        raise _UnfitError("tool calls")
    return system, [(asked.content, said.content) for asked, said in pairs]


def _spoken(turn: Message) -> dict[str, Any]:
    names = {"user": "human", "assistant": "gpt", "tool": "observation"}
    spoken: dict[str, Any] = {
        "from": names.get(turn.role, turn.role),
        "value": turn.content,
    }
    if turn.tool_calls:
        if turn.content:
            raise _UnfitError("a turn with both words and tool calls")
        calls = [call_object(call) for call in turn.tool_calls]
        value = calls[0] if len(calls) == 1 else calls
        spoken["from"] = "function_call"
        spoken["value"] = json.dumps(value, ensure_ascii=False)
    if turn.is_learnt is not None:
        spoken["train"] = turn.is_learnt
    return spoken


def _sides(
    record: Conversation | Preference, **sides: Sequence[Message]
) -> dict[str, Any]:
    rows = {name: write_turns(turns) for name, turns in sides.items()}
    return rows | _tools(record)


def _tools(record: Conversation | Preference) -> dict[str, str]:
    return {"tools": write_tools(record.tools)} if record.tools else {}
