"""Fine-tune the same rows with TRL and with xturing, in turn, and print their ratio.

    uv run python tools/bench/train.py --data rows.json --peer peer_trl.py

Each round runs one after the other in processes of their own, so that a machine whose
speed drifts is fair to both. Tokens are real ones: padding is not counted. Seconds are
those of training alone; peak memory is the whole process's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
TRL = ("--with", "trl==1.16.0", "--with", "peft", "--with", "torch==2.15.0")
FIGURES = ("tokens_per_second", "peak_gb", "seconds", "tokens")


def ours(arguments: argparse.Namespace) -> dict[str, object]:
    """Fine-tune in this process, set up as the peer's script is."""
    from xturing.data import open_dataset
    from xturing.models import BaseModel

    model = BaseModel.create("smollm2_lora")
    config = model.finetuning_config()
    config.learning_rate = 2e-4
    config.batch_size = arguments.batch_size
    config.gradient_accumulation_steps = 1
    config.max_length = arguments.max_length
    config.lora_rank, config.lora_alpha, config.lora_dropout = 8, 16, 0.0
    config.validation_split = 0
    rows = open_dataset(arguments.data, limit=arguments.rows)
    with tempfile.TemporaryDirectory() as folder:
        config.output_dir = f"{folder}/out"
        report = model.finetune(rows)
    return {
        "peer": "xturing",
        "rows": arguments.rows,
        "batch_size": arguments.batch_size,
        "tokens": report.run_ledger.tokens,
        "seconds": round(report.seconds, 2),
        "tokens_per_second": round(report.tokens_per_second, 1),
        "peak_gb": round((report.peak_memory_bytes or 0) / 1e9, 2),
        "losses": [round(loss, 4) for loss in report.losses],
    }


def in_a_process(command: list[str]) -> dict[str, object]:
    """Run a script and return the figures in its last line."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(arguments: argparse.Namespace) -> None:
    """Run both in turn, and print every figure and the ratios of the medians."""
    from xturing.models import families
    from xturing.models.hub import locate_family

    folder = locate_family(families()["smollm2"]).folder
    shared = [
        *("--data", str(arguments.data), "--rows", str(arguments.rows)),
        *("--batch-size", str(arguments.batch_size)),
        *("--max-length", str(arguments.max_length)),
    ]
    commands = {
        "trl": [
            *("uv", "run", "--no-project", "--isolated", *TRL, "python"),
            *(str(arguments.peer), "--model", str(folder), *shared),
        ],
        "xturing": [sys.executable, __file__, "--only-ours", *shared],
    }
    runs: dict[str, list[dict[str, object]]] = {name: [] for name in commands}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            figures = in_a_process(command)
            runs[name].append(figures)
            shown = {key: figures[key] for key in FIGURES}
            print(json.dumps({"who": name, **shown}), flush=True)
    for figure, better in (("tokens_per_second", "more"), ("peak_gb", "less")):
        medians = {
            name: statistics.median(float(str(run[figure])) for run in found)
            for name, found in runs.items()
        }
        ratio = medians["xturing"] / medians["trl"]
        print(f"{figure}: xturing / trl = {ratio:.2f} ({better} is better)")


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data/alpaca_en.json")
    parser.add_argument("--peer", type=Path, default=SHARED / "bench/peer_trl.py")
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--max-length", type=int, default=1024)
    parser.add_argument("--only-ours", action="store_true")
    arguments = parser.parse_args()
    if arguments.only_ours:
        print(json.dumps(ours(arguments)))
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
