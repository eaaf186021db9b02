"""Starting this program again, once for each further process of a run.

Each of them comes to the same call by itself, with the same model and rows, and ends
when the run does. What it writes to the terminal is kept, to be shown if it fails.
"""

import builtins
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from xturing.core.errors import SettingsError, TrainingError

HELPER = "XTURING_HELPER"
"""Variable that is set in the processes that a run has started."""
PATIENCE = 30.0
"""Seconds that helpers have to end by themselves."""
PAUSE = 0.02
"""Seconds between two looks at what helpers do."""
LAST_WORDS = 1500
"""Characters that are shown of what a helper wrote."""


def is_helper() -> bool:
    """Tell whether this process was started by a run, to help it."""
    return HELPER in os.environ


def refuse_unrepeatable(runs_before: int) -> None:
    """Raise `SettingsError` if this program cannot be started again as it was."""
    main = sys.modules["__main__"]
    typed_in = hasattr(sys, "ps1") or hasattr(builtins, "get_ipython")
    named = Path(getattr(main, "__file__", "")).is_file() or "-c" in sys.orig_argv
    if typed_in or not named or multiprocessing.parent_process() is not None:
        raise SettingsError(
            "Several processes were asked for (devices), and each of them has to start "
            "this program itself, but it comes from a notebook, a prompt, standard "
            "input or another process. Put it in a file and run that, or use "
            "`xturing finetune`."
        )
    if runs_before:
        raise SettingsError(
            "Several processes were asked for (devices), but this program fine-tuned "
            "before, and every process would do that again. Start it by "
            "`torchrun --nproc-per-node N`, so that all of them go through it together."
        )


class Helpers:
    """The processes that a run has started."""

    def __init__(self) -> None:
        self.patience = PATIENCE
        """Seconds that they have to end by themselves."""
        self._started: dict[int, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}

    @property
    def ranks(self) -> list[int]:
        """The ranks of those that were started."""
        return list(self._started)

    def start(self, rank: int, variables: Mapping[str, str]) -> None:
        """Start this program again, as the process of a rank."""
        said = tempfile.TemporaryFile()  # noqa: SIM115  # closed when it has ended
        # A session of its own keeps Ctrl-C from it: it is told when the run shall end.
        process = subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:]],
            env={**os.environ, **variables, HELPER: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        self._started[rank] = process, said

    def wait_until(self, are_here: Callable[[], bool]) -> None:
        """Wait for something that the helpers do.

        Raises:
            TrainingError: one of them has ended.
        """
        while not are_here():
            for rank, (process, _) in self._started.items():
                if process.poll() is not None:
                    raise TrainingError(self._end(rank))
            time.sleep(PAUSE)

    def failure(self) -> TrainingError | None:
        """Return how one of them has failed, once there is one; None: none has."""
        until = time.monotonic() + self.patience
        while time.monotonic() < until:
            codes = {rank: p.poll() for rank, (p, _) in self._started.items()}
            failed = [rank for rank, code in codes.items() if code]
            if failed:
                return TrainingError(self._end(failed[0]))
            if None not in codes.values():
                return None
            time.sleep(PAUSE)
        return None

    def end(self) -> None:
        """Wait for them to end; those that do not are killed."""
        until = time.monotonic() + self.patience
        for process, said in self._started.values():
            try:
                process.wait(max(until - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            said.close()
        self._started = {}

    def _end(self, rank: int) -> str:
        process, said = self._started[rank]
        said.seek(0)
        words = said.read().decode(errors="replace").strip()[-LAST_WORDS:]
        about = f" It wrote last:\n{words}" if words else " It wrote nothing."
        return (
            f"Process {rank} of the run ended with the code {process.returncode}, "
            f"before the run did.{about}"
        )
