"""The jobs that there are: begun, looked at, stopped, gone on with, and removed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from xturing.core.errors import OutputError, SettingsError
from xturing.core.files import free_folder, read_json, write_json
from xturing.core.settings import Settings
from xturing.ui.jobs.progress import (
    EVENTS_FILE,
    Note,
    Progress,
    read_progress,
    write_mark,
)
from xturing.ui.jobs.worker import ALIVE_FILE, JOB_FILE, PID_FILE
from xturing.ui.kinds import KINDS

LOG_FILE = "log.txt"
STOPPING = "Asked to stop"
LOG_SHOWN = 20_000
"""Characters, from the end."""

State = Literal["running", "done", "stopped", "failed", "lost"]
"""lost: its process ended without a word, as by a loss of power."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it is at the moment."""

    id: str
    kind: str
    wish: Settings
    state: State
    progress: Progress
    began: float
    """Seconds since the epoch, when it was asked for."""

    @property
    def can_go_on(self) -> bool:
        """Whether it can be begun again where it was."""
        return KINDS[self.kind].can_go_on and self.state in (
            "stopped",
            "failed",
            "lost",
        )


class Jobs:
    """The jobs of a folder; several apps may share it."""

    def __init__(self, folder: Path, work_in: Path) -> None:
        self._folder = folder
        self._work_in = work_in
        self._own: dict[str, subprocess.Popen[bytes]] = {}
        self._read: dict[str, tuple[tuple[int, int], Progress]] = {}

    def start(self, kind: str, wish: Settings) -> Job:
        """Begin a job."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self._folder.mkdir(parents=True, exist_ok=True)
        folder = free_folder(self._folder / f"{stamp}-{kind}")
        folder.mkdir()
        write_mark(folder, Note(text="Begun"))
        self._write(folder, kind, wish, began=time.time(), is_resumed=False)
        self._begin(folder)
        return self.job(folder.name)

    def resume(self, id: str) -> Job:  # noqa: A002  # as the field of `Job`
        """Go on with a job that ended before it was done.

        Raises:
            SettingsError: it is at work, it is done, or its kind cannot go on.
        """
        job = self.job(id)
        if not job.can_go_on:
            raise SettingsError(
                f"The job {id} is {job.state}; only one that was stopped or failed "
                "and keeps its work in a folder goes on."
            )
        self._write(
            self._folder / id, job.kind, job.wish, began=job.began, is_resumed=True
        )
        write_mark(self._folder / id, Note(text="Begun again"))
        self._begin(self._folder / id)
        return self.job(id)

    def stop(self, id: str) -> None:  # noqa: A002
        """Ask a job to stop; what it does then is its own affair."""
        folder = self._known(id)
        if self._is_alive(folder):
            write_mark(folder, Note(text=STOPPING))
            os.kill(self._pid(folder), signal.SIGINT)

    def remove(self, id: str) -> None:  # noqa: A002
        """Forget a job that has ended; what it has made stays where it is.

        Raises:
            OutputError: it is at work.
        """
        folder = self._known(id)
        if self._is_alive(folder):
            raise OutputError(f"The job {id} is at work; stop it first.")
        shutil.rmtree(folder)

    def all(self) -> list[Job]:
        """Return all jobs, the newest first."""
        if not self._folder.is_dir():
            return []
        folders = [each.parent for each in self._folder.glob(f"*/{JOB_FILE}")]
        return [self.job(each.name) for each in sorted(folders, reverse=True)]

    def newest(self, kind: str) -> Job | None:
        """Return the newest job of a kind, one at work before others."""
        found = [job for job in self.all() if job.kind == kind]
        at_work = [job for job in found if job.state == "running"]
        return next(iter(at_work + found), None)

    def job(self, id: str) -> Job:  # noqa: A002
        """Return a job as it is now.

        Raises:
            SettingsError: there is none of this name.
        """
        folder = self._known(id)
        told = read_json(folder / JOB_FILE)
        if not isinstance(told, dict):
            raise SettingsError(f"{folder / JOB_FILE} holds no job; remove it.")
        # In this order: one that ends meanwhile has told its end before.
        is_alive = self._is_alive(folder)
        progress = self._progress(folder)
        return Job(
            id=id,
            kind=told["kind"],
            wish=KINDS[told["kind"]].wish(**told["wish"]),
            state=_state(progress, is_alive=is_alive),
            progress=progress,
            began=told["began"],
        )

    def log(self, id: str) -> str:  # noqa: A002
        """Return the end of what a job's process has written."""
        file = self._known(id) / LOG_FILE
        if not file.is_file():
            return ""
        return file.read_text(encoding="utf-8", errors="replace")[-LOG_SHOWN:]

    def _progress(self, folder: Path) -> Progress:
        """Return what a job has told, read anew if it has told more."""
        there = (folder / EVENTS_FILE).stat()
        signature = (there.st_mtime_ns, there.st_size)
        known = self._read.get(folder.name)
        if known is None or known[0] != signature:
            known = self._read[folder.name] = (signature, read_progress(folder))
        return known[1]

    def _known(self, id: str) -> Path:  # noqa: A002
        folder = self._folder / id
        if folder.parent != self._folder or not (folder / JOB_FILE).is_file():
            raise SettingsError(f"There is no job {id}; the list has those there are.")
        return folder

    def _write(self, folder: Path, kind: str, wish: Settings, **more: object) -> None:
        values: Mapping[str, Any] = wish.model_dump(mode="json", exclude_unset=True)
        write_json(folder / JOB_FILE, {"kind": kind, "wish": values, **more})

    def _begin(self, folder: Path) -> None:
        with (folder / LOG_FILE).open("ab") as log:
            self._own[folder.name] = subprocess.Popen(
                [sys.executable, "-m", "xturing.ui.jobs.worker", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._work_in,
                # Neither a Ctrl-C for the app nor the end of its terminal is for it.
                start_new_session=True,
            )

    def _is_alive(self, folder: Path) -> bool:
        own = self._own.get(folder.name)
        if own is not None and own.poll() is None:
            return True
        lock = FileLock(folder / ALIVE_FILE)
        try:
            with lock.acquire(timeout=0):
                return False
        except Timeout:
            return True

    def _pid(self, folder: Path) -> int:
        own = self._own.get(folder.name)
        if own is not None and own.poll() is None:
            return own.pid
        return int((folder / PID_FILE).read_text(encoding="utf-8"))


def _state(progress: Progress, *, is_alive: bool) -> State:
    if is_alive:
        return "running"
    if progress.end is not None:
        return progress.end.how
    # One that is stopped in its first second says nothing.
    return "stopped" if progress.notes[-1:] == (STOPPING,) else "lost"
