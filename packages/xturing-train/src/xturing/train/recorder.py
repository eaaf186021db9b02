"""The files of a run: metrics.jsonl, its checkpoints, and its ledger."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import IO

from xturing.core.events import Event, tell
from xturing.models.base import BaseModel
from xturing.train.evaluation import HeldOutLoss
from xturing.train.events import CheckpointSaved, StepEnded, Validated

PREFIX = "checkpoint-"


class Recorder:
    """Tells what happens, keeps it, and writes it down."""

    def __init__(self, folder: Path, logging_steps: int) -> None:
        self.steps: list[StepEnded] = []
        self.validations: list[Validated] = []
        self.scores: list[HeldOutLoss] = []
        """The first and the last score of the held-out rows."""
        self._folder = folder
        self._logging_steps = logging_steps
        self._file: IO[str] | None = None

    def __enter__(self) -> "Recorder":
        self._file = (self._folder / "metrics.jsonl").open("w", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def add(self, event: StepEnded | Validated | CheckpointSaved) -> None:
        """Take in an event."""
        if isinstance(event, StepEnded):
            self.steps.append(event)
        if isinstance(event, Validated):
            self.validations.append(event)
        if not isinstance(event, StepEnded) or event.step % self._logging_steps == 0:
            self._write(event)
        tell(event)

    def score(self, step: int, loss: HeldOutLoss) -> Validated:
        """Take in a score of the held-out rows, and return what was told of it."""
        self.scores = [*self.scores[:1], loss]
        event = Validated(step=step, loss=loss.mean, perplexity=loss.perplexity)
        self.add(event)
        return event

    def _write(self, event: Event) -> None:
        if self._file:
            line = {"event": type(event).__name__, **asdict(event)}
            self._file.write(json.dumps(line, default=str) + "\n")
            self._file.flush()


def save_checkpoint(model: BaseModel, folder: Path, step: int, limit: int) -> Path:
    """Write a checkpoint that `BaseModel.load` opens; keep `limit` of them."""
    path = folder / f"{PREFIX}{step}"
    model.save(path, overwrite=True)
    for old in checkpoints(folder)[:-limit]:
        shutil.rmtree(old)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    found = [
        path for path in folder.glob(f"{PREFIX}*") if path.name[len(PREFIX) :].isdigit()
    ]
    return sorted(found, key=lambda path: int(path.name[len(PREFIX) :]))
