"""What was asked and answered, written down before it is used.

The file has one JSON object a line: an attempt before it is made, an answer before it
is read. A line is flushed to disk before anything follows from it, so a run that is
killed has lost nothing that was paid for, but what was on its way in that moment.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from xturing.core.errors import DataError, OutputError
from xturing.core.files import enough_space
from xturing.selfinstruct.exchange import Reply, Request, Usage

JOURNAL = "journal.jsonl"
LOCK = ".lock"
ATTEMPT = "attempt"
ANSWER = "answer"


@contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Keep other processes from working in a folder.

    Raises:
        OutputError: one does already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"Another process is working in {folder}, and two would ask everything "
            "twice. Wait for it, or name another folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


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
        for line in _whole_lines(path) if path else []:
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
            self._write(self.path, line)
        self._adopt(line)

    @staticmethod
    def _write(path: Path, line: Mapping[str, Any]) -> None:
        written = json.dumps(line, ensure_ascii=False, default=str) + "\n"
        with enough_space(path), path.open("ab") as file:
            file.write(written.encode("utf-8", "surrogatepass"))
            file.flush()
            os.fsync(file.fileno())

    def _adopt(self, line: Mapping[str, Any]) -> None:
        if line["kind"] == ATTEMPT:
            self.attempts += 1
        else:
            self._answers[line["key"]] = Reply.from_dict(line["reply"])


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        # The process was killed while it wrote this, so nothing followed from it.
        os.truncate(path, path.stat().st_size - len(rest))
    return [_read(line, f"{path}, line {at}") for at, line in enumerate(lines, 1)]


def _read(line: bytes, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8", "surrogatepass"))
        if value["kind"] not in (ATTEMPT, ANSWER):
            raise ValueError(f"its kind is {value['kind']!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{place} is damaged ({error}). Take this line out of a copy of the file "
            "to ask its request anew, or begin in another folder."
        ) from error
    return value
