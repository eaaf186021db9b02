"""A program that kills a run of itself at random moments, and resumes it each time.

It takes the folder of a base model, one to write to, and how many kills. It writes how
many kills there were.
"""

import importlib
import sys
from pathlib import Path

import interrupted
import lives
import tiny

from xturing.train import finetune

EPOCHS = 8


def train(base: Path, folder: Path) -> None:
    """Go on with the run in a folder."""
    changes = {"num_train_epochs": EPOCHS, "save_steps": 2}
    finetune(interrupted.run(base, folder, **changes), tiny.ROWS, resume=True)


if __name__ == "__main__":
    base, place = map(Path, sys.argv[1:3])
    # What each life would have to import is imported once, in the parent.
    interrupted.run(base, place / "whole").prepare_training()
    importlib.import_module("lightning.pytorch")
    importlib.import_module("xturing.train.finetuning")
    done = lives.kill_often(
        place, lambda folder: train(base, folder), "report.json", int(sys.argv[3])
    )
    sys.stdout.write(f"{done}\n")
