"""Results of batches, kept as soon as they are there: a run that is killed goes on.

A file belongs to one model and one kind of work. Its first line has the key of all
that its results depend on; each other line has a batch. Batches are planned anew in
each run, always alike, so that those which are kept are not done again, and the others
come out as they would have in a run that nothing stopped.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xturing.core.errors import OutputError
from xturing.core.events import tell
from xturing.core.journals import append_line, read_lines
from xturing.eval.events import Advanced

Found = dict[int, Any]
"""By the index of an item, what was found of it: a value that JSON holds."""

ADVICE = "Delete the file to have its batches done again."


def key_of(*parts: object) -> str:
    """Return a SHA-256 over values that JSON holds."""
    digest = hashlib.sha256()
    for part in parts:
        written = json.dumps(part, sort_keys=True, ensure_ascii=False, default=str)
        digest.update(written.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


class Kept:
    """The batches of one kind of work; without a file, for as long as it lives.

    Raises:
        OutputError: the file is of other rows, another model or other settings.
        DataError: the file is damaged.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self._path = path
        self._batches: dict[int, Found] = {}
        lines = read_lines(path, _check, ADVICE) if path is not None else []
        if path is not None and not lines:
            path.parent.mkdir(parents=True, exist_ok=True)
            append_line(path, {"kind": "key", "key": key})
        elif lines and lines[0].get("key") != key:
            raise OutputError(
                f"{path} has results of other rows, another model or other settings, "
                "and nothing in it was touched. Name another folder, or ask for what "
                "was asked there."
            )
        for line in lines[1:]:
            self._batches[line["batch"]] = dict(line["found"])

    def batch(self, number: int, do: Callable[[], Found]) -> Found:
        """Return what is kept of a batch, or what `do` finds, which is then kept."""
        if number not in self._batches:
            found = do()
            if self._path is not None:
                line = {"kind": "batch", "batch": number, "found": list(found.items())}
                append_line(self._path, line)
            self._batches[number] = found
        return self._batches[number]


def work_through(
    work: str, kept: Kept, batches: Sequence[Callable[[], Found]]
) -> Found:
    """Return what is found of all items, batch after batch, and tell how far it is."""
    found: Found = {}
    for number, do in enumerate(batches):
        found |= kept.batch(number, do)
        tell(Advanced(work=work, done=number + 1, total=len(batches)))
    return found


def _check(line: Mapping[str, Any]) -> None:
    if line["kind"] not in ("key", "batch"):
        raise ValueError(f"its kind is {line['kind']!r}")
