"""`xturing api` in a process of its own, as users start it."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = "from xturing.cli.main import run; run()"
ENDING = 120
"""Seconds that a server may take to finish what it has."""


@dataclass
class Served:
    """A server that runs, and where it answers."""

    process: subprocess.Popen
    address: str

    def ask(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return the status and the reply to a request; 0: nobody is there."""
        request = urllib.request.Request(
            self.address + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def memory(self) -> int:
        """Return the bytes that the process holds."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def end(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(ENDING)


@contextmanager
def served(*options: object) -> Iterator[Served]:
    """Run `xturing api -m smollm2` on a free port."""
    words = ["api", "-m", "smollm2", "--port", "0", *map(str, options)]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        stdout=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = next(word for word in line.split() if "://" in word)
        yield Served(process, address.removesuffix("/v1"))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
