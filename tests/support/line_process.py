"""A Python program that answers each line of JSON with a line of JSON."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


class LineProcess:
    """Such a program as a process, started when it is first asked."""

    def __init__(self, program: str | Path) -> None:
        self._program = program
        self._process: subprocess.Popen[str] | None = None

    def ask(self, request: Any) -> Any:
        """Return what the program answers."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, self._program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin
            assert self._process.stdout
            self._process.stdin.close()
            self._process.wait(timeout=60)
            self._process.stdout.close()
