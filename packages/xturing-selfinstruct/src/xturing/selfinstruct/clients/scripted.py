"""Replies from a file, for tests, demonstrations and dry runs.

Each line is a JSON object with a `text`, and as needed a `stage` that it is for, a text
that the prompt has to have (`when`), a `finish_reason`, and a `usage`. Of the lines
that go with a request, the one whose turn it is answers: the same request always has
the same reply, whatever was asked before.
"""

from dataclasses import dataclass, field
from pathlib import Path

from xturing.core.errors import DataError
from xturing.core.files import read_jsonl
from xturing.selfinstruct.exchange import (
    FINISH_REASONS,
    FinishReason,
    Reply,
    Request,
    Usage,
)

FIELDS = frozenset({"text", "stage", "when", "finish_reason", "usage"})


@dataclass(frozen=True, kw_only=True)
class Line:
    """A reply, and what it answers."""

    text: str
    stage: str | None = None
    when: str = ""
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)

    def answers(self, request: Request) -> bool:
        """Tell whether this line goes with a request."""
        return self.stage in (None, request.stage) and self.when in request.prompt


class Scripted:
    """A client that reads its replies from a file."""

    name = "scripted"

    def __init__(self, model: str | Path) -> None:
        self.model = str(model)
        self._lines = read_script(Path(model))

    async def complete(self, request: Request) -> Reply:
        """Return the reply that the file has for the request.

        Raises:
            DataError: it has none.
        """
        fitting = [line for line in self._lines if line.answers(request)]
        if not fitting:
            raise DataError(
                f"{self.model} has no reply for a request of the stage "
                f"'{request.stage}': {request.prompt[:80]!r}. Add a line with its "
                "`stage`, or one without `stage` and `when`, which answers everything."
            )
        line = fitting[request.sample % len(fitting)]
        return Reply(text=line.text, finish_reason=line.finish_reason, usage=line.usage)

    async def close(self) -> None:
        """Do nothing: there is no connection."""


def read_script(path: Path) -> tuple[Line, ...]:
    """Return the replies of a file.

    Raises:
        DataError: the file is missing or empty, or a line is wrong; the message names
            it.
    """
    lines = tuple(_line(value, f"{path}, line {at}") for at, value in read_jsonl(path))
    if not lines:
        raise DataError(f'{path} is empty. Write one {{"text": "…"}} a line.')
    return lines


def _line(value: object, place: str) -> Line:
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise DataError(f'{place}: a reply is written as {{"text": "…"}}.')
    unknown = sorted(value.keys() - FIELDS)
    if unknown:
        raise DataError(
            f"{place}: a reply has no '{unknown[0]}'; it has {sorted(FIELDS)}."
        )
    reason = value.get("finish_reason", "stop")
    if reason not in FINISH_REASONS:
        raise DataError(
            f"{place}: finish_reason is {reason!r}, but it is one of "
            f"{', '.join(FINISH_REASONS)}."
        )
    return Line(
        text=value["text"],
        stage=value.get("stage"),
        when=value.get("when", ""),
        finish_reason=reason,
        usage=Usage(**value.get("usage", {})),
    )
