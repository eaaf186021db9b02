"""Runs that are interrupted, and what is left of a run to compare."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiny

from xturing.core.events import Event, listening
from xturing.models import BaseModel, GenericLoraModel, GenericModel
from xturing.train import CheckpointSaved

SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-2,
    "weight_decay": 0.1,
    "batch_size": 2,
    "gradient_accumulation_steps": 2,
    "num_train_epochs": 3,
    "warmup_steps": 3,
    "max_length": 128,
    "logging_steps": 1,
    "eval_steps": 4,
    "save_steps": 1,
    "save_total_limit": 3,
    "lora_dropout": 0.3,
    "report_samples": 0,
}
"""Everything that a resumed run may trip over: dropout, accumulation, three epochs of
five steps, the last of which is short, and a warm-up."""
STEPS = 15
VARYING = ("seconds", "path")
"""Fields of metrics.jsonl that are other ones at other times and places."""


class Killed(BaseException):
    """Stands for `kill -9`: nobody catches it."""


@dataclass(frozen=True)
class Outcome:
    """What two runs that are the same have in common."""

    losses: tuple[float, ...]
    weights: bytes
    metrics: tuple[dict[str, Any], ...]
    verdict: dict[str, Any]
    row_losses: bytes


def run(base: Path, folder: Path, *, full: bool = False, **changes: Any) -> BaseModel:
    """Return a model that will be tuned in a folder."""
    model: BaseModel = GenericModel(base) if full else GenericLoraModel(base)
    config = model.finetuning_config()
    for name, value in (SETTINGS | changes).items():
        if not full or not name.startswith("lora_"):
            setattr(config, name, value)
    config.output_dir = str(folder)
    return model


def kill_after(model: BaseModel, step: int, rows: Any = tiny.ROWS) -> Path:
    """Tune the model, leave when a checkpoint of the step is there, return it."""

    def kill(event: Event) -> None:
        if isinstance(event, CheckpointSaved) and event.step == step:
            raise Killed

    try:
        with listening(kill):
            model.finetune(rows)
    except Killed:
        return Path(model.finetuning_config().output_dir) / f"checkpoint-{step}"
    raise AssertionError(f"there was no checkpoint of step {step}")


def outcome(folder: Path) -> Outcome:
    """Return what is compared of a run that has ended."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    report = json.loads((folder / "report.json").read_text())
    (weights,) = folder.glob("*.safetensors")
    return Outcome(
        losses=tuple(report["losses"]),
        weights=weights.read_bytes(),
        metrics=tuple(
            {name: line[name] for name in line if name not in VARYING}
            for line in metrics
        ),
        verdict=report["verdict"],
        row_losses=(folder / "row_losses.jsonl").read_bytes(),
    )


def copied(folder: Path, place: Path) -> Path:
    """Return a copy of a run's folder, for a test to do with as it likes."""
    return Path(shutil.copytree(folder, place))
