"""A program that kills a run of itself at random moments, and resumes it each time.

It takes the folders of a base model, of an uninterrupted run and of the killed one, and
how many kills; it writes how many there were. Libraries are imported once: each run is
a fork.
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

EPOCHS = 12
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


def kill_often(base: Path, whole: Path, folder: Path, kills: int) -> int:
    """Return how many times the run was killed before it came to its end."""
    moments = random.Random(0)
    # What each life would have to import is imported once, in the parent.
    interrupted.run(base, whole).prepare_training()
    importlib.import_module("lightning.pytorch")
    importlib.import_module("xturing.train.finetuning")
    started = time.monotonic()
    assert os.waitpid(child(base, whole), 0)[1] == 0
    longest = SHARE * (time.monotonic() - started)
    done = 0
    while not (folder / "xturing.json").is_file():
        number = child(base, folder)
        if done < kills:
            time.sleep(moments.uniform(0, longest))
            os.kill(number, signal.SIGKILL)
        status = os.waitpid(number, 0)[1]
        if os.WIFSIGNALED(status):
            done += 1
        else:
            assert status == 0
    return done


if __name__ == "__main__":
    base, whole, folder = map(Path, sys.argv[1:4])
    sys.stdout.write(f"{kill_often(base, whole, folder, int(sys.argv[4]))}\n")
