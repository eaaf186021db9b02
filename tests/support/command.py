"""Running the command inside the test's own process."""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from xturing.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def xturing(monkeypatch, capfd, tmp_path) -> Callable[..., Outcome]:
    """Return the command: its arguments go in, what it wrote and its code come out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: object, typed: str = "") -> Outcome:
        monkeypatch.setattr(sys, "argv", ["xturing", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.run()
        written = capfd.readouterr()
        return Outcome(int(ended.value.code or 0), written.out, written.err)

    return run
