"""Names for what encoding makes: two that are equal stand for the same examples."""

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from xturing.data.records import Conversation, Document, Message, Placed, Record

FORMAT_VERSION = 1
"""Add one where encoding, or what an entry of the cache holds, is made otherwise."""

LIBRARIES = "jinja2", "tokenizers", "transformers", "xturing-data"
"""Whose other versions may write or divide a text otherwise."""


class Fingerprint:
    """The SHA-256 of all that decides what rows are encoded to, and of the rows.

    Places are part of it, as examples and ledgers tell them.
    """

    def __init__(self, tokenizer: Any, max_length: int, length_policy: str) -> None:
        self._digest = hashlib.sha256()
        self._add(
            {
                "format": FORMAT_VERSION,
                "libraries": [_version(library) for library in LIBRARIES],
                "max_length": max_length,
                "length_policy": length_policy,
                "tokenizer": _described(tokenizer),
            }
        )

    def passing(self, records: Iterable[Placed]) -> Iterator[Placed]:
        """Yield the records, each of which enters the fingerprint."""
        for row in records:
            self._add([row.place, _plain(row.record)])
            yield row

    def over(self, records: Iterable[Placed]) -> str:
        """Return the fingerprint after the records."""
        deque(self.passing(records), maxlen=0)
        return self.hexdigest()

    def hexdigest(self) -> str:
        """Return the fingerprint of what has passed."""
        return self._digest.hexdigest()

    def _add(self, value: object) -> None:
        # The order of keys stays: templates write tools as they are given.
        self._digest.update(json.dumps(value, default=repr).encode() + b"\n")


def _described(tokenizer: Any) -> dict[str, object]:
    """Return all of a tokenizer that has a say in ids, offsets and rendered texts."""
    # A slow one is not encoded with; encoding says so.
    text = tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else "{}"
    # Truncation and padding are what the last call happened to ask for.
    backend = json.loads(text) | {"truncation": None, "padding": None}
    template = tokenizer.chat_template
    return {
        "backend": backend,
        "template": template,
        "special": tokenizer.special_tokens_map,
        "start": tokenizer.bos_token_id,
        "end": tokenizer.eos_token_id,
        "splits_special": tokenizer.split_special_tokens,
        # Some templates tell the model what day it is.
        "day": str(_today()) if "strftime_now" in str(template) else "",
    }


def _plain(record: Record) -> Sequence[object]:
    if isinstance(record, Document):
        return "document", record.prompt, record.text
    if isinstance(record, Conversation):
        messages = [_message(message) for message in record.messages]
        return "conversation", messages, [dict(tool) for tool in record.tools]
    # Nothing else is encoded; encoding says so.
    return type(record).__name__, repr(record)


def _message(message: Message) -> Sequence[object]:
    calls = [(call.name, dict(call.arguments)) for call in message.tool_calls]
    return message.role, message.content, message.learns, calls


def _today() -> date:
    return date.today()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
