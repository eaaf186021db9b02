"""Runs with limits, of a tiny model, by a clock that only steps of the run move."""

import json
import subprocess
import sys
from itertools import pairwise

import interrupted
import pytest
import tiny
import torch

from xturing.core.errors import SettingsError
from xturing.core.events import Event, listening
from xturing.models import FinetuningConfig
from xturing.train import (
    PlanCompared,
    RunPlanned,
    StepEnded,
    memory,
)
from xturing.train.memory import returning_memory
from xturing.train.objectives.choosing import METHODS
from xturing.train.planning import deadline, measuring
from xturing.train.planning.measuring import MicroSteps
from xturing.train.schedule import plan_run

SECONDS = 2.0
"""What a step takes by the clock, as well as by what is measured."""
ENDLESS = 1000
"""Epochs that would take longer than any of the deadlines."""


class Time:
    """A clock for runs, and one for measuring, of which each look takes a second."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0.0
        self.heard: list[Event] = []

    def look(self) -> float:
        self.looks += 1.0
        return self.looks

    def hear(self, event: Event) -> None:
        self.heard.append(event)
        if isinstance(event, StepEnded):
            self.now += SECONDS

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.heard if isinstance(event, kind)]


@pytest.fixture
def time(monkeypatch):
    clock = Time()
    monkeypatch.setattr(deadline, "monotonic", lambda: clock.now)
    monkeypatch.setattr(measuring, "perf_counter", clock.look)
    with listening(clock.hear):
        yield clock


def test_a_run_with_a_deadline_takes_the_steps_that_fit(tiny_model, rows, time):
    config = tiny_model.finetuning_config()
    config.max_time, config.num_train_epochs = 60, ENDLESS
    report = tiny_model.finetune(rows)
    assert time.now == pytest.approx(60, rel=0.1)
    assert report.steps == time.now / SECONDS
    assert report.epochs > 5
    assert not report.stopped_early


def test_the_optimizer_is_given_the_rates_of_a_schedule_that_comes_to_its_end(
    tiny_model, rows, time, monkeypatch
):
    given: list[float] = []
    step = torch.optim.AdamW.step

    def spy(self, *args, **options):
        given.append(self.param_groups[0]["lr"])
        return step(self, *args, **options)

    config = tiny_model.finetuning_config()
    config.max_time, config.num_train_epochs = "1m", ENDLESS
    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.AdamW, "step", spy)
        tiny_model.finetune(rows)
    given = given[-len(time.of(StepEnded)) :]
    assert given == pytest.approx([e.learning_rate for e in time.of(StepEnded)])
    top = given.index(max(given))
    assert all(a < b for a, b in pairwise(given[: top + 1]))
    assert all(a >= b for a, b in pairwise(given[top:]))
    assert given[-1] < 0.1 * max(given)


def test_what_was_predicted_is_told_and_kept_beside_what_came_of_it(
    tiny_model, rows, time
):
    config = tiny_model.finetuning_config()
    config.max_time, config.num_train_epochs = 60, ENDLESS
    report = tiny_model.finetune(rows)
    (planned,), (compared,) = time.of(RunPlanned), time.of(PlanCompared)
    assert planned.prediction == report.predicted == compared.predicted
    assert report.predicted.seconds == pytest.approx(60, rel=0.1)
    assert report.real.steps == report.steps
    assert report.real.seconds == time.now
    lines = (report.output_dir / "metrics.jsonl").read_text().splitlines()
    named = {json.loads(line)["event"] for line in lines}
    assert {"RunPlanned", "PlanCompared"} <= named
    written = json.loads((report.output_dir / "report.json").read_text())
    assert written["predicted"]["steps"] == report.predicted.steps
    assert {each["name"] for each in written["choices"]} == {
        "objective",
        "threads",
        "dtype",
        "micro_batch_tokens",
        "gradient_checkpointing",
    }


def test_steps_and_epochs_that_were_set_are_not_exceeded(tiny_model, rows, time):
    config = tiny_model.finetuning_config()
    config.max_time, config.max_steps = "4m", 7
    config.num_train_epochs = ENDLESS
    report = tiny_model.finetune(rows)
    assert (report.steps, report.stopped_early) == (7, False)
    assert report.predicted.steps == 7


def test_a_time_too_short_for_a_step_is_refused_before_anything_is_written(
    tiny_model, rows, time, tmp_path
):
    tiny_model.finetuning_config().max_time = 1
    with pytest.raises(SettingsError, match=r"max_time is 1\.0 s, but a run of a sing"):
        tiny_model.finetune(rows)
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_killed_ends_at_its_deadline_all_the_same(
    tiny_folder, tmp_path, time
):
    changes = {
        "max_time": 60.0,
        "num_train_epochs": ENDLESS,
        "save_steps": 5,
        "warmup_steps": None,
    }
    model = interrupted.run(tiny_folder, tmp_path / "out", **changes)
    interrupted.kill_after(model, 10)
    taken, time.heard[:] = time.of(StepEnded), []
    model = interrupted.run(tiny_folder, tmp_path / "out", **changes)
    report = model.finetune(tiny.ROWS, resume=True)
    rates = [each.learning_rate for each in taken + time.of(StepEnded)]
    assert report.real.seconds == pytest.approx(60, rel=0.1)
    assert len(report.losses) == report.steps == len(rates)
    top = rates.index(max(rates))
    assert all(a >= b for a, b in pairwise(rates[top:]))


def test_measuring_leaves_weights_gradients_and_randomness_as_they_were(
    tiny_model, rows
):
    config = tiny_model.finetuning_config()
    objective = METHODS["sft"].make(config, tiny_model.engine.pad_id)
    units = objective.encode(rows, tiny_model.engine.tokenizer, config).units
    network = tiny_model.prepare_training()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    was_training, state = network.training, torch.random.get_rng_state()
    plan = plan_run(units, config, objective)
    machine = MicroSteps(tiny_model, objective, config, plan)
    with machine.training(is_checkpointed=False):
        step = machine.measure_step()
        found = machine.measure(units[:4])
    assert found.shape.units == 4
    assert step.bytes >= 2 * 4 * sum(
        each.numel() for each in network.parameters() if each.requires_grad
    )
    after = network.state_dict()
    assert all(torch.equal(after[name], each) for name, each in before.items())
    assert all(each.grad is None for each in network.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert network.training == was_training


def test_memory_that_suffices_changes_nothing(tiny_folder, tmp_path):
    free = interrupted.run(tiny_folder, tmp_path / "free")
    limited = interrupted.run(tiny_folder, tmp_path / "limited", max_memory="200GB")
    assert free.finetune(tiny.ROWS).losses == limited.finetune(tiny.ROWS).losses


def test_memory_that_cannot_suffice_is_refused_with_what_is_needed(
    tiny_model, rows, tmp_path
):
    tiny_model.finetuning_config().max_memory = "10MB"
    with pytest.raises(SettingsError, match=r"a single row of \d+ tokens needs about"):
        tiny_model.finetune(rows)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30m", 1800), ("1h30m", 5400), ("1.5m", 90)]
)
def test_durations_are_read_as_they_are_written(text, seconds):
    assert FinetuningConfig(max_time=text).max_time == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("12GB", 12 * 10**9), ("1.5 gib", 3 * 2**29), (10**9, 10**9)]
)
def test_amounts_of_memory_are_read_as_they_are_written(text, size):
    assert FinetuningConfig(max_memory=text).max_memory == size


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("max_time", "soon", "a duration is written like 30m"),
        ("max_time", -5, "greater than 0"),
        ("max_memory", "12", "written like 12GB"),
        ("max_memory", 12, "greater than or equal to 1000000"),
    ],
)
def test_limits_that_are_none_are_refused(name, value, advice):
    with pytest.raises(SettingsError, match=f"{name} is {value!r}, but .*{advice}"):
        FinetuningConfig(**{name: value})


KEPT = """
import torch
from xturing.train import memory

with memory.returning_memory(at_once=True):
    memory.return_memory()
    before = memory.resident_bytes()
    held = [torch.ones(1 << 20) for _ in range(64)]
    del held[::2]
    print(memory.resident_bytes() - before - len(held) * (4 << 20))
"""
"""Writes the bytes that stay resident of blocks, every other one of which was freed."""


@pytest.mark.skipif(memory._glibc() is None, reason="the C library is not glibc")
def test_freed_blocks_are_given_back_at_once():
    # In a process of its own, where nothing else takes or frees memory meanwhile.
    done = subprocess.run(
        [sys.executable, "-c", KEPT], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 16 << 20


@pytest.mark.skipif(memory._glibc() is None, reason="the C library is not glibc")
def test_freed_blocks_are_kept_for_the_next_step_and_given_back_at_the_end():
    memory.return_memory()
    before = memory.resident_bytes() or 0

    def grown() -> int:
        return (memory.resident_bytes() or 0) - before

    with returning_memory(at_once=False):
        held = [torch.ones(1 << 20) for _ in range(64)]
        del held
        assert grown() > 200 << 20
    assert grown() < 32 << 20


@pytest.mark.skipif(not memory.reset_peak(), reason="this system has no such peak")
def test_the_peak_begins_anew_where_it_is_reset():
    block: object = torch.ones(64 << 20)
    with_block = memory.peak_bytes() or 0
    del block
    memory.return_memory()
    memory.reset_peak()
    assert (memory.peak_bytes() or 0) < with_block - (200 << 20)
