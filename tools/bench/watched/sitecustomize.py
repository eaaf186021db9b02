"""Has a rival measure the machine's speed after each of its optimizer steps.

Python imports this at its start where the folder is in PYTHONPATH, so scripts and what
they start stay as they are. The figures go to the file that WATCHED names.
"""

import atexit
import json
import os
from pathlib import Path

from machine_speed import MachineSpeed
from torch.optim.optimizer import register_optimizer_step_post_hook

speed = MachineSpeed()


def write() -> None:
    """Write the figures, if this process trained anything."""
    if speed.operations:
        figures = {"rate": speed.rate, "spent": speed.spent}
        Path(os.environ["WATCHED"]).write_text(json.dumps(figures), encoding="utf-8")


register_optimizer_step_post_hook(lambda *_: speed.sample())
atexit.register(write)
