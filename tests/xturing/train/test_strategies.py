"""Several processes learn what one learns."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from interrupted import outcome
from teamwork import Job, Team, finished

from xturing.models import BaseModel
from xturing.train.checkpoints import checkpoints

TOLERANCE = 1e-4
"""Largest difference of a loss that was summed up in another order."""
SETTINGS = {
    "batch_size": 1,
    "gradient_accumulation_steps": 4,
    "max_steps": 4,
    "save_steps": 100,
}
"""Each of two processes takes two passes a step."""
ADAPTER = SETTINGS | {"lora_dropout": 0.0, "lora_targets": ["q_proj", "down_proj"]}
WHOLE = SETTINGS | {"learning_rate": 1e-3}
ENDED_BY_SIGTERM = "143"


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
        ("fsdp", True),
        ("deepspeed_stage_1", True),
        ("deepspeed_stage_2", False),
        ("deepspeed_stage_3", True),
    ],
)
def test_a_run_that_was_stopped_ends_as_one_process_does__peer_theme_5(
    team, alone, job, strategy, full
):
    settings = WHOLE if full else ADAPTER
    expected = alone(full=full, settings=settings)
    own = settings | {"strategy": strategy}
    stopped = team.run(job(full=full, settings=own, fate="stop", step=2))
    assert [each["text"] for each in stopped] == [ENDED_BY_SIGTERM] * 2, stopped
    folder = Path(job().folder)
    assert [path.name for path in checkpoints(folder)] == ["checkpoint-2"]
    found = finished(team.run(job(full=full, settings=own, resume=True)))
    assert found["losses"] == pytest.approx(expected["losses"], abs=TOLERANCE)
    assert found["validations"] == pytest.approx(expected["validations"], abs=TOLERANCE)
    assert found["ledger"]["in_loss"] == expected["ledger"]["in_loss"]
    assert found["answer"] == expected["answer"]
    assert row_losses(folder) == pytest.approx(
        row_losses(Path(expected["output_dir"])), abs=TOLERANCE, nan_ok=True
    )
    assert names(folder) - {"checkpoint-2"} == names(Path(expected["output_dir"]))
    assert tiny.greedy(BaseModel.load(folder), ["say fox"]) == expected["answer"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "full"),
    [("deepspeed_stage_2_offload", True), ("deepspeed_stage_3_offload", False)],
)
def test_what_lies_in_the_processor_s_memory_learns_the_same(
    team, alone, job, strategy, full
):
    settings = WHOLE if full else ADAPTER
    expected = alone(full=full, settings=settings)
    own = settings | {"strategy": strategy, "eval_steps": 100}
    found = finished(team.run(job(full=full, settings=own)))
    assert found["losses"] == pytest.approx(expected["losses"], abs=TOLERANCE)
    assert found["answer"] == expected["answer"]


@pytest.mark.slow
def test_processes_without_a_row_in_a_step_keep_up_with_the_others(team, alone, job):
    settings = ADAPTER | {"gradient_accumulation_steps": 1}
    expected = alone(settings=settings, rows="judgements")
    own = settings | {"strategy": "deepspeed_stage_2"}
    found = finished(team.run(job(settings=own, rows="judgements")))
    assert found["losses"] == pytest.approx(expected["losses"], abs=TOLERANCE)
    assert found["ledger"]["in_loss"] == expected["ledger"]["in_loss"]


@pytest.mark.slow
def test_a_stopped_run_of_several_processes_ends_in_the_same_bits__peer_theme_8(
    team, job, tmp_path
):
    settings = SETTINGS | {"strategy": "ddp", "lora_dropout": 0.3}
    whole = tmp_path / "whole"
    finished(team.run(job(folder=str(whole), settings=settings)))
    stopped = team.run(job(settings=settings, fate="stop", fated=0, step=2))
    assert [each["text"] for each in stopped] == [ENDED_BY_SIGTERM] * 2, stopped
    finished(team.run(job(settings=settings, resume=True)))
    there, here = outcome(whole), outcome(Path(job().folder))
    assert (here.losses, here.weights) == (there.losses, there.weights)


@pytest.mark.slow
def test_an_error_of_one_process_is_that_of_all(team, job):
    ended = team.run(job(settings=ADAPTER, fate="fails", step=1))
    assert [each["error"] for each in ended] == ["DataError"] * 2
    assert ended[0]["text"] == (
        "Row 7 turned bad. (Process 1 of the run ended with this.)"
    )


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others(team, job):
    first, dead = team.run(job(settings=ADAPTER, fate="dies", step=1))
    assert dead["error"] == "dead"
    assert first["error"] == "TrainingError"
    assert "Another process of the run ended without a word" in first["text"]


@pytest.mark.slow
def test_the_command_starts_its_processes_and_speaks_once__predecessor_fault_36(
    tiny_folder, tmp_path
):
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps(tiny.ROWS))
    command = [
        *(Path(sys.executable).with_name("xturing"), "finetune"),
        *("-m", "generic_lora", "--weights", tiny_folder, "-d", rows),
        *("-o", "tuned", "--devices", "2", "--set", "batch_size=8"),
    ]
    ended = subprocess.run(
        [str(each) for each in command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("Saved to") == 1
    assert ended.stderr.count("read as") == 1
    report = json.loads((tmp_path / "tuned" / "report.json").read_text())
    assert report["settings"]["devices"] == 2
    metrics = (tmp_path / "tuned" / "metrics.jsonl").read_text()
    assert len(re.findall('"step": 1,', metrics)) <= 1
    assert BaseModel.load(tmp_path / "tuned").generate(texts="say fox") is not None


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "deepspeed_stage_2_offload"])
def test_a_strategy_works_with_one_process(team, alone, job, strategy):
    expected = alone(settings=ADAPTER)
    found = finished(
        team.run(job(processes=1, settings=ADAPTER | {"strategy": strategy}))
    )
    assert found["losses"] == pytest.approx(expected["losses"], abs=TOLERANCE)
    assert found["answer"] == expected["answer"]
