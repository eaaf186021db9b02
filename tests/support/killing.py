"""A program that kills a run of itself at random moments, and resumes it each time.

It takes the folder of a base model, one to write to, and how many kills. Runs that
come to their end before there were so many are followed by others: the folder `whole`
has the run that was left alone, `killed-0`, `killed-1` … those that were not. It writes
how many kills there were. Libraries are imported once: each life of a run is a fork.
"""

import importlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import interrupted
import tiny

from xturing.train import finetune

EPOCHS = 8
SHARE = 0.25
"""Of the time of the whole run: the longest that a life lasts."""


def child(base: Path, folder: Path) -> int:
    """Start a process that goes on with the run in a folder, and return its number."""
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        changes = {"num_train_epochs": EPOCHS, "save_steps": 2}
        finetune(interrupted.run(base, folder, **changes), tiny.ROWS, resume=True)
        code = 0
    finally:
        os._exit(code)


def kill_often(base: Path, place: Path, kills: int) -> int:
    """Return how many times a run was killed, when the last one has come to its end."""
    moments = random.Random(0)
    # What each life would have to import is imported once, in the parent.
    interrupted.run(base, place / "whole").prepare_training()
    importlib.import_module("lightning.pytorch")
    importlib.import_module("xturing.train.finetuning")
    started = time.monotonic()
    assert os.waitpid(child(base, place / "whole"), 0)[1] == 0
    longest = SHARE * (time.monotonic() - started)
    done = runs = 0
    while done < kills:
        folder = place / f"killed-{runs}"
        runs += 1
        while not (folder / "report.json").is_file():
            number = child(base, folder)
            if done < kills:
                time.sleep(moments.uniform(0, longest))
                os.kill(number, signal.SIGKILL)
            status = os.waitpid(number, 0)[1]
            done += os.WIFSIGNALED(status)
            assert os.WIFSIGNALED(status) or status == 0
    return done


if __name__ == "__main__":
    base, place = map(Path, sys.argv[1:3])
    sys.stdout.write(f"{kill_often(base, place, int(sys.argv[3]))}\n")
