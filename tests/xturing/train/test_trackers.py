"""Experiment trackers: what they are told, and what happens if one is missing."""

import sys
from pathlib import Path

import pytest
import tiny
from interrupted import STEPS, kill_after, run
from mlflow_server import mlflow_server

from xturing.core.errors import MissingDependencyError, SettingsError, TrainingError
from xturing.models.settings import FinetuningConfig
from xturing.train import StepEnded, Validated
from xturing.train.objectives.comparison import Comparison
from xturing.train.trackers import TRACKERS, metrics, require_trackers

NAMES = {
    "loss",
    "learning_rate",
    "gradient_norm",
    "tokens_per_second",
    "held_out_loss",
    "held_out_perplexity",
}


def test_trackers_are_told_of_loss_rate_gradient_speed_and_held_out_loss():
    step = StepEnded(
        step=1,
        loss=2.0,
        learning_rate=1e-3,
        gradient_norm=0.5,
        supervised=5,
        tokens=20,
        padding=0,
        seconds=2.0,
    )
    told = metrics(step) | metrics(Validated(step=1, loss=1.0, perplexity=2.7))
    assert told.keys() == NAMES
    assert told["tokens_per_second"] == 10.0


@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_that_is_not_installed_is_named_before_anything_is_done(
    name, tiny_model, rows, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, name, None)
    tiny_model.finetuning_config().trackers = (name,)
    with pytest.raises(MissingDependencyError, match=rf"xturing-train\[{name}\]"):
        tiny_model.finetune(rows)
    assert not (tmp_path / "out").exists()


def test_mlflow_without_an_address_is_refused(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_URI is not set"):
        require_trackers(FinetuningConfig(trackers=("mlflow",)))


def test_tensorboard_s_files_are_in_the_run_s_folder(tiny_model, rows):
    config = tiny_model.finetuning_config()
    config.trackers, config.logging_steps = ("tensorboard",), 1
    report = tiny_model.finetune(rows)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(report.output_dir / "tensorboard"))
    found.Reload()
    assert set(found.Tags()["scalars"]) >= NAMES
    shown = [event.value for event in found.Scalars("loss")]
    assert shown == pytest.approx(report.losses)
    held_out = [event.value for event in found.Scalars("held_out_loss")]
    assert held_out == pytest.approx([v.loss for v in report.validations])


def test_no_place_of_this_machine_is_told_to_a_tracker__peer_theme_18(
    tiny_model, rows, monkeypatch
):
    from lightning.pytorch.loggers import TensorBoardLogger

    told: list[dict] = []
    monkeypatch.setattr(
        TensorBoardLogger, "log_hyperparams", lambda self, values: told.append(values)
    )
    config = tiny_model.finetuning_config()
    config.trackers = ("tensorboard",)
    tiny_model.finetune(rows)
    assert told[0]["learning_rate"] == config.learning_rate
    assert str(Path(config.output_dir).parent) not in str(told)


@pytest.mark.slow
def test_wandb_writes_its_files_without_a_network(
    tiny_model, rows, monkeypatch, tmp_path
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    config = tiny_model.finetuning_config()
    config.trackers, config.logging_steps = ("wandb",), 1
    report = tiny_model.finetune(rows)
    assert list(report.output_dir.glob("wandb/offline-run-*/run-*.wandb"))


def test_mlflow_is_told_of_settings_steps_and_the_end(tiny_model, rows, monkeypatch):
    config = tiny_model.finetuning_config()
    config.trackers, config.logging_steps = ("mlflow",), 1
    with mlflow_server() as taken:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", taken.address)
        report = tiny_model.finetune(rows)
    told = {
        name: [each["value"] for each in taken.metrics if each["key"] == name]
        for name in NAMES
    }
    assert told["loss"] == pytest.approx(report.losses)
    assert told["held_out_loss"] == pytest.approx([v.loss for v in report.validations])
    assert taken.params["learning_rate"] == str(config.learning_rate)
    assert taken.ends[-1] == "FINISHED"


def test_a_run_that_fails_has_failed_for_mlflow(tiny_model, rows, monkeypatch):
    config = tiny_model.finetuning_config()
    config.trackers, config.learning_rate = ("mlflow",), 1e30
    config.max_grad_norm = None
    with mlflow_server() as taken, pytest.raises(TrainingError):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", taken.address)
        tiny_model.finetune(rows)
    assert taken.ends[-1] == "FAILED"


def test_a_resumed_run_goes_on_in_its_trackers(tiny_folder, tmp_path, monkeypatch):
    names = ("mlflow", "tensorboard")
    folder = tmp_path / "run"
    with mlflow_server() as taken:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", taken.address)
        kill_after(run(tiny_folder, folder, trackers=names, save_steps=6), 6)
        model = run(tiny_folder, folder, trackers=names)
        report = model.finetune(tiny.ROWS, resume=True)
    told = [each for each in taken.metrics if each["key"] == "loss"]
    assert taken.runs == ["run0"]
    assert {each["run"] for each in told} == {"run0"}
    assert [int(each["step"]) for each in told] == list(range(1, STEPS + 1))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    shown = [event.value for event in found.Scalars("loss")]
    assert shown == pytest.approx(report.losses)


def test_a_tracker_may_change_when_a_run_is_resumed(tiny_folder, tmp_path):
    kill_after(run(tiny_folder, tmp_path / "run", save_steps=14), 14)
    model = run(tiny_folder, tmp_path / "run", trackers=("tensorboard",))
    assert model.finetune(tiny.ROWS, resume=True).steps == STEPS


def test_trackers_are_told_of_margins_but_not_of_what_there_is_none():
    found = Comparison(1.5, 0.75, -2.0, None)
    told = metrics(Validated(step=1, loss=1.0, perplexity=None, comparison=found))
    assert told == {
        "held_out_loss": 1.0,
        "held_out_margin": 1.5,
        "held_out_accuracy": 0.75,
        "held_out_chosen_log_probability": -2.0,
    }
