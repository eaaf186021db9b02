"""Fine-tune the real model to several deadlines, and compare prediction and fact.

    uv run python tools/bench/planner.py --deadlines 60 120 240

Each run is a process of its own. Printed are, for each deadline, how long the run took
and its peak memory as shares of what was given and predicted, and where the schedule of
the learning rate ended, as a share of its highest. The exit code tells whether all runs
ended within a tenth of their deadline and their peaks within 15 % of the prediction.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from results import Ratio, add_option, record

SHARED = Path(__file__).parents[3] / "shared"
TIME_TOLERANCE = 0.1
MEMORY_TOLERANCE = 0.15


def one(arguments: argparse.Namespace) -> dict[str, float]:
    """Fine-tune in this process, and return what was predicted and what came of it."""
    from xturing.core.events import Event, listening
    from xturing.data import open_dataset
    from xturing.models import BaseModel
    from xturing.train import StepEnded

    model = BaseModel.create("smollm2_lora")
    config = model.finetuning_config()
    config.learning_rate = 2e-4
    config.batch_size = arguments.batch_size
    config.max_length = arguments.max_length
    config.length_policy = "drop"
    config.max_time = arguments.only
    config.max_memory = arguments.max_memory
    rates: list[float] = []

    def hear(event: Event) -> None:
        if isinstance(event, StepEnded):
            rates.append(event.learning_rate)

    rows = open_dataset(arguments.data, limit=arguments.rows)
    with tempfile.TemporaryDirectory() as folder, listening(hear):
        config.output_dir = f"{folder}/out"
        report = model.finetune(rows)
    predicted, real = report.predicted, report.real
    if predicted is None or real is None:
        sys.exit("The run was not planned.")
    return {
        "deadline": arguments.only,
        "seconds": round(real.seconds, 1),
        "steps_predicted": predicted.steps,
        "steps": real.steps,
        "peak_gb_predicted": round(predicted.peak_bytes / 1e9, 2),
        "peak_gb": round(real.peak_bytes / 1e9, 2),
        "last_rate": round(rates[-1] / max(rates), 4),
    }


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data/alpaca_en.json")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--max-memory", default=None)
    parser.add_argument("--deadlines", type=float, nargs="+", default=[60, 120, 240])
    parser.add_argument("--only", type=float, help=argparse.SUPPRESS)
    add_option(parser)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(one(arguments)))
        return
    is_kept = True
    ratios: list[Ratio] = []
    for deadline in arguments.deadlines:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", str(deadline)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        found = json.loads(done.stdout.strip().splitlines()[-1])
        time = found["seconds"] / deadline
        memory = found["peak_gb"] / found["peak_gb_predicted"]
        print(json.dumps(found), flush=True)
        print(f"  time {time:.2f} of the deadline, memory {memory:.2f} of the plan")
        shares = (("time / deadline", time), ("peak memory / plan", memory))
        ratios += [
            Ratio(name=f"{name}, {deadline:g} s", value=share, better="one")
            for name, share in shares
        ]
        is_kept &= abs(time - 1) <= TIME_TOLERANCE
        is_kept &= abs(memory - 1) <= MEMORY_TOLERANCE
    record(arguments.json, ratios)
    sys.exit(not is_kept)


if __name__ == "__main__":
    main()
