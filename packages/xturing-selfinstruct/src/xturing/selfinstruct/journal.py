"""What was asked and answered, written down before it is used.

The file has one JSON object a line: an attempt before it is made, an answer before it
is read. A line is flushed to disk before anything follows from it, so a run that is
killed has lost nothing that was paid for, but what was on its way in that moment.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xturing.core.journals import append_line, read_lines
from xturing.selfinstruct.exchange import Reply, Request, Usage

JOURNAL = "journal.jsonl"
ATTEMPT = "attempt"
ANSWER = "answer"
ADVICE = (
    "Take this line out of a copy of the file to ask its request anew, or begin in "
    "another folder."
)


class Journal:
    """The attempts and answers of one run, by the keys of their requests."""

    def __init__(self, path: Path | None) -> None:
        """Read what is there; a last line that was not finished is taken away.

        Without a file it remembers as long as it lives.

        Raises:
            DataError: another line is damaged.
        """
        self.path = path
        self.attempts = 0
        """Requests that were sent, by earlier processes too."""
        self._answers: dict[str, Reply] = {}
        for line in read_lines(path, _check, ADVICE) if path else []:
            self._adopt(line)

    def __len__(self) -> int:
        return len(self._answers)

    @property
    def usage(self) -> Usage:
        """The tokens of all answers."""
        return sum((reply.usage for reply in self._answers.values()), start=Usage())

    def answer(self, key: str) -> Reply | None:
        """Return the answer to a request; None if there is none yet."""
        return self._answers.get(key)

    def note_attempt(self, key: str) -> None:
        """Write down that a request is about to be sent.

        Raises:
            OutputError: the disk is full.
        """
        self._append({"kind": ATTEMPT, "key": key})

    def note_answer(self, key: str, request: Request, reply: Reply) -> None:
        """Write down a request and its answer.

        Raises:
            OutputError: the disk is full.
        """
        told = {"request": request.as_dict(), "reply": reply.as_dict()}
        self._append({"kind": ANSWER, "key": key, **told})

    def _append(self, line: Mapping[str, Any]) -> None:
        if self.path is not None:
            append_line(self.path, line)
        self._adopt(line)

    def _adopt(self, line: Mapping[str, Any]) -> None:
        if line["kind"] == ATTEMPT:
            self.attempts += 1
        else:
            self._answers[line["key"]] = Reply.from_dict(line["reply"])


def _check(line: Mapping[str, Any]) -> None:
    if line["kind"] not in (ATTEMPT, ANSWER):
        raise ValueError(f"its kind is {line['kind']!r}")
