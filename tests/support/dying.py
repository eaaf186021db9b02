"""A program in which a run kills itself with signal 9 at given steps, and is resumed.

It takes the folder of a base model, one to write to, and the steps. The folder `whole`
has the run that was left alone, `killed` the one that was not. Each life of a run is a
process of its own; libraries are imported once.
"""

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import interrupted
import tiny

from xturing.core.events import Event, listening
from xturing.train import StepEnded, finetune

SETTINGS: dict[str, Any] = {"max_steps": 4, "max_length": 64, "eval_steps": 100}


def live(base: Path, folder: Path, last_step: int | None) -> int:
    """Go on with the run in a folder, in another process; return how that ended.

    It dies when the step has been taken and nothing has been saved of it.
    """
    number = os.fork()
    if number:
        return os.waitpid(number, 0)[1]
    code = 1

    def die(event: Event) -> None:
        if isinstance(event, StepEnded) and event.step == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        with listening(die):
            finetune(interrupted.run(base, folder, **SETTINGS), tiny.ROWS, resume=True)
        code = 0
    finally:
        os._exit(code)


def die_at(base: Path, place: Path, steps: Sequence[int]) -> None:
    """Let a run live undisturbed, and another one die at each of the steps."""
    importlib.import_module("lightning.pytorch")
    importlib.import_module("xturing.train.finetuning")
    importlib.import_module("peft")
    assert live(base, place / "whole", None) == 0
    for step in steps:
        assert os.WTERMSIG(live(base, place / "killed", step)) == signal.SIGKILL
    assert live(base, place / "killed", None) == 0


if __name__ == "__main__":
    base, place = map(Path, sys.argv[1:3])
    die_at(base, place, [int(step) for step in sys.argv[3:]])
