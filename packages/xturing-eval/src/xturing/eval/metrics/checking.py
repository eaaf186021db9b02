"""Checkers: programs that say by their exit code whether an answer is right.

Each answer is checked by a process of its own, which gets a JSON object on its standard
input and runs in an empty folder, without the variables of this process (PATH aside),
with limits on its time, memory, files and processes. Whatever its process group has
left is killed at the end.

This bounds accidents; it is no sandbox. A checker, and code of answers that it runs,
can read the user's files, reach the network, and leave its process group; limits on
processes do not bind root. Check answers that may be hostile in a container.
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Literal

from xturing.core.errors import SettingsError
from xturing.eval.metrics.limited import CANNOT_RUN

Ending = Literal["passed", "failed", "timed out", "crashed"]
"""It exited with 0, with another code, not in time, or was ended by a signal."""

LAUNCHER = Path(__file__).with_name("limited.py")
INHERITED = "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"
"""Variables without which programs may not start."""
NOT_FOUND = 127
"""Exit code that says that there is no such command, as shells have it."""
LAST_WORDS = 4096
"""Bytes of the standard error that are looked at for its last line."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a checker may use."""

    seconds: float = 5.0
    """By the clock; each process has as much of the processor's time."""
    memory: int = 512 * 1000**2
    """Bytes of address space of each process."""
    file_size: int = 16 * 1000**2
    """Bytes of each file."""
    processes: int = 64
    """Processes and threads of the user, beside those there are."""

    @property
    def as_json(self) -> str:
        """What the launcher is told."""
        seconds = math.ceil(self.seconds)
        limits = {
            # The signal at the soft limit tells it from other ends.
            "RLIMIT_CPU": (seconds, seconds + 1),
            "RLIMIT_AS": (self.memory, self.memory),
            "RLIMIT_FSIZE": (self.file_size, self.file_size),
            "RLIMIT_NPROC": (self.processes, self.processes),
            "RLIMIT_CORE": (0, 0),
        }
        return json.dumps(limits)


@dataclass(frozen=True)
class Checked:
    """What a checker made of an answer."""

    ending: Ending
    said: str = ""
    """The last line that it wrote to its standard error."""


class Checker:
    """A program that checks answers: the path of a Python file, or a command.

    Files that a command names are found from the current folder.

    Raises:
        SettingsError: there is no such program, the Python file has wrong syntax, or
            this system has no limits.
    """

    def __init__(self, program: str | Sequence[str], limits: Limits) -> None:
        if find_spec("resource") is None:
            raise SettingsError(
                "Checkers run under limits, which this system does not have; Linux and "
                "macOS do."
            )
        self._limits = limits
        self._command = [
            *(sys.executable, "-I", "-S", str(LAUNCHER), limits.as_json),
            *(_python(program) if isinstance(program, str) else _command(program)),
        ]

    def check(self, given: Mapping[str, object]) -> Checked:
        """Run the checker, with a JSON object on its standard input.

        Raises:
            SettingsError: it could not be run.
        """
        with (
            TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            TemporaryFile() as asked,
            TemporaryFile() as said,
        ):
            asked.write(json.dumps(given, default=str).encode())
            asked.seek(0)
            process = subprocess.Popen(
                self._command,
                stdin=asked,
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd=folder,
                env=_environment(folder),
                start_new_session=True,
            )
            code = self._code(process)
            words = _last_line(said)
        if code in (CANNOT_RUN, NOT_FOUND):
            raise SettingsError(
                f"The checker could not be run (exit code {code}): {words}. Run it by "
                "hand; it reads a JSON object from its standard input."
            )
        return Checked(_ending(code), words)

    def _code(self, process: subprocess.Popen[bytes]) -> int | None:
        """Return how a process ended; None if it had to be."""
        try:
            return process.wait(self._limits.seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # macOS does not permit it where all of them have ended.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _ending(code: int | None) -> Ending:
    if code is None or code == -signal.SIGXCPU:
        return "timed out"
    if code < 0:
        return "crashed"
    return "failed" if code else "passed"


def _environment(folder: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | {
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        # The same answer gets the same verdict, and nothing is left beside the checker.
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Address space is limited, and each thread takes a part of it.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _last_line(said: IO[bytes]) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(size - LAST_WORDS, 0))
    lines = said.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _python(name: str) -> list[str]:
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise SettingsError(
            f"There is no checker {path}. Name a Python file, or give a command as a "
            'list, such as ["node", "check.js"].'
        )
    try:
        compile(path.read_bytes(), str(path), "exec")
    except (SyntaxError, ValueError) as error:
        raise SettingsError(
            f"The checker {path} is not Python: {error}. For another program, give a "
            'command as a list, such as ["node", "check.js"].'
        ) from error
    return [sys.executable, str(path)]


def _command(program: Sequence[str]) -> list[str]:
    if not program:
        raise SettingsError("The checker is an empty command. Name a program first.")
    first, *others = program
    found = shutil.which(first)
    if found is None:
        raise SettingsError(
            f"There is no program '{first}' to run as a checker. Install it, or give "
            "its path."
        )
    return [str(Path(found).absolute()), *map(_in_place, others)]


def _in_place(argument: str) -> str:
    """Return an argument that names a file so that it does from anywhere."""
    # What is longer than a path can be is none.
    with suppress(OSError):
        if Path(argument).is_file():
            return str(Path(argument).absolute())
    return argument
