"""The process that does a job: `python -m xturing.ui.jobs.worker FOLDER`.

Ctrl-C (SIGINT) and SIGTERM stop it; what it does decides what is saved then. Jobs take
turns, as two that share a processor are both slower.
"""

import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from xturing.core.errors import XTuringError
from xturing.core.events import Event, Notice, listening
from xturing.core.files import read_json
from xturing.ui.jobs.progress import End, Mark, Note, write_mark
from xturing.ui.kinds import KINDS, Kind

logger = logging.getLogger(__name__)

JOB_FILE = "job.json"
ALIVE_FILE = "alive.lock"
"""Locked as long as the process lives, however it ends."""
PATIENCE = 10
"""Seconds."""
PID_FILE = "pid"
TURN_FILE = "turn.lock"
UNEXPECTED = "{}. This was not expected; the log tells where it happened."


def main(folder: Path) -> int:
    """Do the job of a folder, and return the process's exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    try:
        # Who looks whether it lives holds the lock for a moment, too.
        with FileLock(folder / ALIVE_FILE, timeout=PATIENCE):
            (folder / PID_FILE).write_text(str(os.getpid()), encoding="utf-8")
            end = _worked(folder)
            write_mark(folder, end)
    except Timeout:
        logger.error("another process does the job of %s", folder)
        return 1
    return 0 if end.how == "done" else 1


def _worked(folder: Path) -> End:
    try:
        job = read_json(folder / JOB_FILE)
        if not isinstance(job, dict):
            raise TypeError(f"{JOB_FILE} holds no job")
        kind = KINDS[job["kind"]]
        with _turn(folder):
            result = _done(kind, job, folder)
    except (KeyboardInterrupt, SystemExit):
        # What these say is how to go on by hand; the page has a button.
        return End(how="stopped")
    except XTuringError as error:
        return End(how="failed", sentence=str(error))
    except Exception as error:
        logger.exception("a job failed")
        told = f"{type(error).__name__}: {error}"
        return End(how="failed", sentence=UNEXPECTED.format(told))
    return End(how="done", result=result)


def _done(kind: Kind, job: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    def show(event: Event) -> None:
        for mark in _marks(kind, event):
            write_mark(folder, mark)

    with listening(show):
        return kind.run(kind.wish(**job["wish"]), is_resumed=job["is_resumed"])


def _marks(kind: Kind, event: Event) -> list[Mark]:
    return [Note(text=event.text)] if isinstance(event, Notice) else kind.marks(event)


def _turn(folder: Path) -> FileLock:
    """Return the lock of which there is one for all jobs, having said who waits."""
    lock = FileLock(folder.parent / TURN_FILE)
    try:
        lock.acquire(timeout=0)
        lock.release()
    except Timeout:
        write_mark(folder, Note(text="Waiting for another job to end"))
    return lock


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
