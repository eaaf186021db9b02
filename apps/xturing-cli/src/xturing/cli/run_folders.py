"""Folders of fine-tuning runs: found by their files, and told how far they came.

Reads what `xturing.train` writes, and loads nothing of it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from xturing.cli.finetune_jobs import COMMAND_FILE, is_locked
from xturing.core.errors import DataError
from xturing.core.files import read_json

CARD_FILE = "xturing.json"
LEDGER_FILE = "ledger.json"
METRICS_FILE = "metrics.jsonl"
PAGE_FILE = "report.html"
REPORT_FILE = "report.json"

State = Literal["done", "running", "interrupted", "unfinished"]
"""unfinished: interrupted or running, of a run that does not tell."""


@dataclass(frozen=True)
class RunFolder:
    """A folder that a fine-tuning run has begun to fill."""

    path: Path

    @property
    def state(self) -> State:
        """What has become of the run."""
        if (self.path / CARD_FILE).is_file() and (self.path / REPORT_FILE).is_file():
            return "done"
        command = self.path / COMMAND_FILE
        if command.is_file() and is_locked(command):
            return "running"
        return "interrupted" if command.is_file() and os.name == "posix" else UNKNOWN

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """What was written down while it ran, but for a line that was cut off."""
        file = self.path / METRICS_FILE
        if not file.is_file():
            return []
        return [*_whole_lines(file.read_text(encoding="utf-8"))]

    @property
    def command(self) -> Mapping[str, Any]:
        """What was asked for; nothing, if another program than the command began it."""
        return _object(self.path / COMMAND_FILE)

    @property
    def report(self) -> Mapping[str, Any]:
        """The report of a run that is done."""
        return _object(self.path / REPORT_FILE)

    @property
    def ledger(self) -> Mapping[str, Any]:
        """Where the tokens of its rows went, those to learn and those held out."""
        return _object(self.path / LEDGER_FILE)

    @property
    def model(self) -> str | None:
        """What was tuned, as far as the folder says."""
        return self.command.get("model") or _object(self.path / CARD_FILE).get(
            "model_name"
        )

    @property
    def step(self) -> int:
        """The last step; of an interrupted run, that of its last checkpoint."""
        kind = "StepEnded" if self.state == "running" else "CheckpointSaved"
        if self.state == "done":
            return self.report["steps"]
        return max((each["step"] for each in self._told(kind)), default=0)

    @property
    def steps(self) -> int | None:
        """How many steps there are, or were to be; None if that is not known."""
        if self.state == "done":
            return self.report["steps"]
        return self.command.get("steps")

    @property
    def losses(self) -> list[float]:
        """Loss of the steps that were written down, in nats."""
        return [each["loss"] for each in self._told("StepEnded")]

    @property
    def held_out_losses(self) -> list[float]:
        """Loss of the held-out rows, from before the first step on."""
        return [each["loss"] for each in self._told("Validated")]

    @property
    def progress(self) -> str:
        """How far it came, in words."""
        of = "" if self.steps is None else f" of {self.steps:,}"
        if self.state == "done":
            return f"done, {self.step:,} steps"
        if self.step == 0 and self.state != "running":
            return f"{self.state} before its first checkpoint"
        preposition = "at" if self.state == "running" else "after"
        return f"{self.state} {preposition} step {self.step:,}{of}"

    def as_dict(self) -> dict[str, object]:
        """Return what is known at a glance, for a JSON document."""
        names = ("path", "model", "state", "step", "steps", "held_out_losses")
        return {name: getattr(self, name) for name in names}

    def _told(self, kind: str) -> Iterator[dict[str, Any]]:
        return (each for each in self.events if each.get("event") == kind)


UNKNOWN: State = "unfinished"


def open_run(path: Path) -> RunFolder:
    """Return the run in a folder.

    Raises:
        DataError: it holds none.
    """
    if not is_run(path):
        raise DataError(
            f"{path} is not the folder of a fine-tuning run: it has no {LEDGER_FILE} "
            "of one. `xturing runs list` finds those below a folder."
        )
    return RunFolder(path)


def find_runs(top: Path) -> Iterator[RunFolder]:
    """Yield the runs in a folder and below it; what is in a run is not looked at."""
    for place, folders, _ in os.walk(top):
        path = Path(place)
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        if is_run(path):
            folders.clear()
            yield RunFolder(path)


def is_run(path: Path) -> bool:
    """Tell whether a folder has the ledger that a run begins with."""
    return "training_rows" in _object(path / LEDGER_FILE)


def _object(file: Path) -> Mapping[str, Any]:
    """Return the JSON object in a file; an empty one if there is none."""
    if not file.is_file():
        return {}
    try:
        found = read_json(file)
    except DataError:
        return {}
    return found if isinstance(found, dict) else {}


def _whole_lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return
