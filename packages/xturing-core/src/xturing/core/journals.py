"""Files that grow line by line, each of which is safe before anything follows from it.

A line is a JSON object and is flushed to disk at once. So a program that is killed has
lost nothing but the line that it was writing, which the next one takes away.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xturing.core.errors import DataError, OutputError
from xturing.core.files import enough_space

LOCK = ".lock"


@contextmanager
def sole_user(folder: Path) -> Iterator[None]:
    """Keep other processes from working in a folder.

    Raises:
        OutputError: one does already.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"Another process is working in {folder}, and two would do everything "
            "twice. Wait for it, or name another folder."
        ) from None
    try:
        yield
    finally:
        lock.release()


def append_line(path: Path, line: Mapping[str, Any]) -> None:
    """Write a line at the end of a file, and have it outlive a loss of power.

    Raises:
        OutputError: the disk is full.
    """
    written = json.dumps(line, ensure_ascii=False, default=str) + "\n"
    with enough_space(path), path.open("ab") as file:
        file.write(written.encode("utf-8", "surrogatepass"))
        file.flush()
        os.fsync(file.fileno())


def read_lines(
    path: Path, check: Callable[[Mapping[str, Any]], None], advice: str
) -> list[dict[str, Any]]:
    """Return the lines of a file; there may be none yet.

    A last line that was not finished is taken away: nothing followed from it. `check`
    raises `ValueError` or `KeyError` for a line that is not what it should be.

    Raises:
        DataError: another line is damaged; the message ends with the advice.
    """
    if not path.exists():
        return []
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        os.truncate(path, path.stat().st_size - len(rest))
    return [
        _read(line, check, f"{path}, line {at}", advice)
        for at, line in enumerate(lines, start=1)
    ]


def _read(
    line: bytes, check: Callable[[Mapping[str, Any]], None], place: str, advice: str
) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8", "surrogatepass"))
        check(value)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place} is damaged ({error}). {advice}") from error
    return value
