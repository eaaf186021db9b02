"""Several processes learn what one learns."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from teamwork import Job, Team, finished

from xturing.models import BaseModel
from xturing.train.checkpoints import checkpoints

TOLERANCE = 1e-4
"""Largest difference of a loss that was summed up in another order."""
STEPS = 6
SETTINGS = {"max_steps": STEPS, "lora_dropout": 0.0, "save_steps": 100}
FULL = {"max_steps": STEPS, "learning_rate": 1e-3, "save_steps": 100}


@pytest.fixture(scope="module")
def team():
    made = Team()
    yield made
    made.close()


@pytest.fixture(scope="module")
def alone(team, tiny_folder, tmp_path_factory):
    """Return what a run of one process, whose settings are given, comes to."""
    known = {}

    def run(**options):
        key = json.dumps(options, sort_keys=True)
        if key not in known:
            folder = tmp_path_factory.mktemp("alone") / "run"
            job = Job(base=str(tiny_folder), folder=str(folder), **options)
            known[key] = finished(team.run(job))
        return known[key]

    return run


@pytest.fixture
def job(tiny_folder, tmp_path):
    def make(**options) -> Job:
        given = {"folder": str(tmp_path / "run"), "processes": 2} | options
        return Job(base=str(tiny_folder), **given)

    return make


def row_losses(folder: Path) -> np.ndarray:
    lines = (folder / "row_losses.jsonl").read_text().splitlines()
    return np.array([json.loads(line)["losses"] for line in lines], dtype=float)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "full"),
    [
        ("ddp", False),
        ("fsdp", False),
        ("fsdp", True),
        ("deepspeed_stage_1", True),
        ("deepspeed_stage_2", False),
        ("deepspeed_stage_3", True),
        ("deepspeed_stage_2_offload", True),
        ("deepspeed_stage_3_offload", False),
    ],
)
def test_a_strategy_learns_what_one_process_does_though_it_was_stopped(
    team, alone, job, strategy, full
):
    settings = FULL if full else SETTINGS
    expected = alone(full=full, settings=settings)
    own = settings | {"strategy": strategy}
    stopped = team.run(job(full=full, settings=own, fate="stop"))
    assert [each["error"] for each in stopped] == ["SystemExit"] * 2, stopped
    folder = Path(job().folder)
    assert [path.name for path in checkpoints(folder)] == ["checkpoint-3"]
    found = finished(team.run(job(full=full, settings=own, resume=True)))
    assert found["losses"] == pytest.approx(expected["losses"], abs=TOLERANCE)
    assert found["validations"] == pytest.approx(expected["validations"], abs=TOLERANCE)
    assert found["ledger"]["in_loss"] == expected["ledger"]["in_loss"]
    assert found["answer"] == expected["answer"]
    assert row_losses(folder) == pytest.approx(
        row_losses(Path(expected["output_dir"])), abs=TOLERANCE, nan_ok=True
    )
    assert names(folder) - {"checkpoint-3"} == names(Path(expected["output_dir"]))
    assert tiny.greedy(BaseModel.load(folder), ["say fox"]) == expected["answer"]
