"""What happens in a run: told, kept, and written to metrics.jsonl."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import IO

from xturing.core.events import Event, tell
from xturing.core.files import enough_space, write_text
from xturing.train.checkpoints import METRICS
from xturing.train.events import CheckpointSaved, StepEnded, Validated


class Recorder:
    """Tells what happens, keeps it, and writes it down."""

    def __init__(self, folder: Path, logging_steps: int) -> None:
        self.steps: list[StepEnded] = []
        self.validations: list[Validated] = []
        self._path = folder / METRICS
        self._logging_steps = logging_steps
        self._file: IO[str] | None = None

    def __enter__(self) -> "Recorder":
        write_text(self._path, "")
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    @property
    def text(self) -> str:
        """What metrics.jsonl holds."""
        return self._path.read_text(encoding="utf-8")

    def go_on(
        self,
        text: str,
        steps: tuple[StepEnded, ...],
        validations: tuple[Validated, ...],
        saved: CheckpointSaved,
    ) -> None:
        """Take up what was recorded before a checkpoint, whatever came after it.

        `text` is that of metrics.jsonl; the checkpoint itself is not in it yet.
        """
        self.steps[:], self.validations[:] = steps, validations
        if self._file:
            self._file.close()
        write_text(self._path, text)
        self._open()
        self._write(saved)

    def add(self, event: Event) -> None:
        """Take in an event.

        Raises:
            OutputError: the disk is full.
        """
        if isinstance(event, StepEnded):
            self.steps.append(event)
        if isinstance(event, Validated):
            self.validations.append(event)
        if not isinstance(event, StepEnded) or event.step % self._logging_steps == 0:
            self._write(event)
        tell(event)

    def _open(self) -> None:
        self._file = self._path.open("a", encoding="utf-8")

    def _write(self, event: Event) -> None:
        if self._file:
            line = {"event": type(event).__name__, **asdict(event)}
            with enough_space(self._path):
                self._file.write(json.dumps(line, default=str) + "\n")
                self._file.flush()
