"""What goes into a chat and what comes out of it, as JSON: the parts that are alike.

An answer that is not as expected raises what Python raises for it; whoever asked knows
what to say of that.
"""

from collections.abc import Mapping
from typing import Any

from xturing.selfinstruct.exchange import FinishReason, Reply, Request, Usage

CHAT_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
}


def messages_of(request: Request) -> list[dict[str, str]]:
    """Return the messages of a request as most services take them."""
    return [
        {"role": turn.role, "content": writable(turn.content)}
        for turn in request.messages
    ]


def writable(text: str) -> str:
    """Return a text that can be sent and kept: half of a character becomes a "?".

    There are such halves where a text was cut by someone who did not look.
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def chat_reply(told: Any) -> Reply:
    """Return the reply in an answer that has `choices`."""
    choice = (told["choices"] or [None])[0]
    usage = told.get("usage") or {}
    counted = Usage(
        prompt_tokens=count(usage.get("prompt_tokens")),
        completion_tokens=count(usage.get("completion_tokens")),
    )
    if choice is None:
        return Reply(text="", finish_reason="other", usage=counted, raw=told)
    said = choice["text"] if "text" in choice else choice["message"].get("content")
    reason = CHAT_REASONS.get(choice.get("finish_reason"), "other")
    return Reply(text=text_of(said), finish_reason=reason, usage=counted, raw=told)


def text_of(content: Any) -> str:
    """Return a message's text: it may be absent, whole or in parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    # Of the parts, those without a text are what a model thought before it answered.
    return "".join(part.get("text") or "" for part in content)


def count(value: object) -> int:
    """Return a number of tokens; 0 if it is not told."""
    return int(value) if isinstance(value, int | float) else 0


def error_text(told: object) -> str:
    """Return the message in the JSON of an error, wherever the service puts it."""
    if isinstance(told, Mapping):
        for name in ("error", "message", "detail"):
            if told.get(name):
                return error_text(told[name])
    return "" if told is None else str(told)
