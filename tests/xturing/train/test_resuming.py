"""Killed at any moment, a run continues to the same bits."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from interrupted import STEPS, Killed, copied, kill_after, outcome, run

from xturing.core.errors import LedgerError, OutputError, SettingsError, TrainingError
from xturing.core.events import listening
from xturing.models import BaseModel, FinetuningConfig
from xturing.train import (
    CheckpointSaved,
    CheckpointSkipped,
    RunResumed,
    RunStopped,
    StepEnded,
    finetuning,
    scoring,
)
from xturing.train.checkpoints import checkpoints, fault
from xturing.train.resuming import IDLE_SETTINGS

KILLED_AT = 7


def heard(kind: type):
    """Return a list that fills with events of a kind, and who listens for them."""
    events: list = []
    return (
        events,
        lambda event: events.append(event) if isinstance(event, kind) else None,
    )


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


@pytest.fixture(scope="module")
def whole(tiny_folder, tmp_path_factory):
    """Return the outcome of the run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run(tiny_folder, folder).finetune(tiny.ROWS)
    return outcome(folder)


@pytest.fixture(scope="module")
def killed(tiny_folder, tmp_path_factory):
    """Return the folder of a run that was killed; tests copy it."""
    folder = tmp_path_factory.mktemp("runs") / "killed"
    return kill_after(run(tiny_folder, folder), KILLED_AT).parent


@pytest.fixture
def folder(killed, tmp_path):
    return copied(killed, tmp_path / "run")


@pytest.mark.parametrize("step", [1, 4, 5, 6, 10, 14])
def test_a_run_killed_after_a_step_ends_in_the_same_bits__peer_theme_8(
    tiny_folder, tmp_path, whole, step
):
    kill_after(run(tiny_folder, tmp_path / "run"), step)
    torch.manual_seed(step)
    run(tiny_folder, tmp_path / "run").finetune(tiny.ROWS, resume=True)
    assert outcome(tmp_path / "run") == whole
    assert len(whole.losses) == STEPS


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "adafactor"])
@pytest.mark.parametrize("full", [False, True])
def test_every_optimizer_goes_on_where_it_was(tiny_folder, tmp_path, name, full):
    options = {"optimizer_name": name, "full": full, "learning_rate": 1e-3}
    run(tiny_folder, tmp_path / "whole", **options).finetune(tiny.ROWS)
    kill_after(run(tiny_folder, tmp_path / "run", **options), KILLED_AT)
    run(tiny_folder, tmp_path / "run", **options).finetune(tiny.ROWS, resume=True)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_run_may_be_killed_many_times(tiny_folder, tmp_path, whole):
    folder = tmp_path / "run"
    kill_after(run(tiny_folder, folder), 2)
    for step in (4, 5, 9):

        def kill(event, step=step):
            if isinstance(event, StepEnded) and event.step == step:
                raise GeneratorExit

        with pytest.raises(GeneratorExit), listening(kill):
            run(tiny_folder, folder).finetune(tiny.ROWS, resume=True)
    run(tiny_folder, folder).finetune(tiny.ROWS, resume=True)
    assert outcome(folder) == whole


def test_a_resumed_run_reports_as_if_nothing_had_happened(
    tiny_folder, tmp_path, folder
):
    one = run(tiny_folder, tmp_path / "whole").finetune(tiny.ROWS)
    other = run(tiny_folder, folder).finetune(tiny.ROWS, resume=True)
    assert other.run_ledger == one.run_ledger
    assert (other.steps, other.losses) == (one.steps, one.losses)
    assert other.validations == one.validations
    assert other.epochs == one.epochs


def test_another_seed_gives_another_outcome(tiny_folder, tmp_path, whole):
    run(tiny_folder, tmp_path / "same").finetune(tiny.ROWS)
    run(tiny_folder, tmp_path / "other", seed=1).finetune(tiny.ROWS)
    assert outcome(tmp_path / "same") == whole
    assert outcome(tmp_path / "other").weights != whole.weights
    assert outcome(tmp_path / "other").losses != whole.losses


def test_a_run_is_resumed_by_its_folder_or_by_a_checkpoint(
    tiny_folder, tmp_path, folder, whole
):
    for number, place in enumerate((folder, folder / "checkpoint-6")):
        there = copied(folder, tmp_path / str(number) / "run")
        model = run(tiny_folder, tmp_path / "elsewhere")
        report = model.finetune(tiny.ROWS, resume=there / place.relative_to(folder))
        assert report.output_dir == there
        assert outcome(there).losses == whole.losses


def test_lines_after_the_checkpoint_are_cut_and_written_anew(
    tiny_folder, folder, whole
):
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"event": "StepEnded", "step": 8, "loss": 1')
    run(tiny_folder, folder).finetune(tiny.ROWS, resume=True)
    assert outcome(folder).metrics == whole.metrics


def test_lost_metrics_come_back_from_the_checkpoint(tiny_folder, folder, whole):
    (folder / "metrics.jsonl").unlink()
    run(tiny_folder, folder).finetune(tiny.ROWS, resume=True)
    assert outcome(folder).metrics == whole.metrics


def test_a_run_that_was_to_stop_early_does_so_when_resumed(tiny_folder, tmp_path):
    options = {"learning_rate": 1e-12, "eval_steps": 2, "early_stopping_patience": 2}
    whole = run(tiny_folder, tmp_path / "whole", **options).finetune(tiny.ROWS)
    assert whole.stopped_early
    kill_after(run(tiny_folder, tmp_path / "run", **options), whole.steps)
    model = run(tiny_folder, tmp_path / "run", **options)
    assert model.finetune(tiny.ROWS, resume=True).losses == whole.losses


# What a checkpoint is.


def test_a_checkpoint_opens_as_a_model_and_holds_no_pickle(folder):
    checkpoint = folder / f"checkpoint-{KILLED_AT}"
    assert BaseModel.load(checkpoint).generate(texts="say fox")
    kinds = {file.suffix for file in checkpoint.rglob("*") if file.is_file()}
    assert kinds <= {".safetensors", ".json", ".jsonl", ".jinja", ".md"}


def test_the_manifest_lists_every_file(folder):
    checkpoint = folder / f"checkpoint-{KILLED_AT}"
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    there = {
        file.relative_to(checkpoint).as_posix()
        for file in checkpoint.rglob("*")
        if file.is_file()
    }
    assert there == {"manifest.json", *manifest["files"]}


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
def test_damage_to_any_file_is_seen(folder, damage):
    checkpoint = folder / f"checkpoint-{KILLED_AT}"
    assert fault(checkpoint) is None
    for file in [path for path in checkpoint.rglob("*") if path.is_file()]:
        kept = file.read_bytes()
        damage(file)
        assert fault(checkpoint), file.name
        file.write_bytes(kept)
    assert fault(checkpoint) is None


def lose_the_manifest(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").unlink()


def flip_a_bit(checkpoint: Path) -> None:
    flip(checkpoint / "training" / "state.safetensors")


def cut_the_weights(checkpoint: Path) -> None:
    truncate(checkpoint / "adapter_model.safetensors")


def delete_the_progress(checkpoint: Path) -> None:
    (checkpoint / "training" / "progress.json").unlink()


def empty_the_manifest(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").write_text("{}")


def leave_it_half_written(checkpoint: Path) -> None:
    checkpoint.rename(checkpoint.with_name(f".{checkpoint.name}.99.part"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lose_the_manifest, "no manifest.json"),
        (flip_a_bit, "state.safetensors is damaged"),
        (cut_the_weights, "adapter_model.safetensors has .* bytes in place of"),
        (delete_the_progress, "progress.json is missing"),
        (empty_the_manifest, "manifest.json is damaged"),
        (leave_it_half_written, "it was being written"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_with_a_reason__peer_theme_8(
    tiny_folder, folder, whole, damage, reason
):
    damage(folder / f"checkpoint-{KILLED_AT}")
    skipped, skips = heard(CheckpointSkipped)
    resumed, resumes = heard(RunResumed)
    with listening(skips), listening(resumes):
        run(tiny_folder, folder).finetune(tiny.ROWS, resume=True)
    assert [event.path.name.strip(".")[:12] for event in skipped] == ["checkpoint-7"]
    assert re.search(reason, skipped[0].reason)
    assert [event.path for event in resumed] == [folder / "checkpoint-6"]
    assert outcome(folder) == whole


def test_a_checkpoint_that_was_deleted_is_not_missed__peer_theme_8(
    tiny_folder, folder, whole
):
    shutil.rmtree(folder / f"checkpoint-{KILLED_AT}")
    resumed, resumes = heard(RunResumed)
    with listening(resumes):
        run(tiny_folder, folder).finetune(tiny.ROWS, resume=True)
    assert [event.step for event in resumed] == [KILLED_AT - 1]
    assert outcome(folder) == whole


def test_without_any_whole_checkpoint_the_run_starts_and_says_so(
    tiny_folder, folder, whole
):
    for checkpoint in checkpoints(folder):
        lose_the_manifest(checkpoint)
    resumed, resumes = heard(RunResumed)
    with listening(resumes):
        run(tiny_folder, folder).finetune(tiny.ROWS, resume=True)
    assert [(event.step, event.path) for event in resumed] == [(0, None)]
    assert outcome(folder) == whole


def test_a_damaged_checkpoint_that_is_named_is_refused(tiny_folder, folder):
    checkpoint = folder / f"checkpoint-{KILLED_AT}"
    flip_a_bit(checkpoint)
    with pytest.raises(TrainingError, match="state.safetensors is damaged"):
        run(tiny_folder, folder).finetune(tiny.ROWS, resume=checkpoint)


def test_a_limit_of_one_never_leaves_only_a_damaged_checkpoint(
    tiny_folder, folder, tmp_path
):
    for step in (6, 7):
        lose_the_manifest(folder / f"checkpoint-{step}")
    model = run(tiny_folder, folder, save_total_limit=1)
    saved = []

    def kill(event):
        if isinstance(event, CheckpointSaved):
            saved.extend(fault(path) is None for path in checkpoints(folder))
            raise GeneratorExit

    with pytest.raises(GeneratorExit), listening(kill):
        model.finetune(tiny.ROWS, resume=True)
    assert any(saved)


def test_old_checkpoints_go_only_when_the_new_one_is_whole(
    tiny_folder, tmp_path, monkeypatch
):
    seen = []
    real = shutil.rmtree

    def spy(path, *args, **options):
        if Path(path).name.startswith("checkpoint-"):
            seen.append(fault(checkpoints(Path(path).parent)[-1]))
        return real(path, *args, **options)

    monkeypatch.setattr(shutil, "rmtree", spy)
    run(tiny_folder, tmp_path / "run", save_total_limit=1).finetune(tiny.ROWS)
    assert len(seen) == STEPS - 2
    assert set(seen) == {None}


# What may change, and what may not.


def test_changed_settings_are_refused_with_the_differences(tiny_folder, folder):
    model = run(tiny_folder, folder, learning_rate=3e-3, num_train_epochs=4)
    with pytest.raises(SettingsError) as refused:
        model.finetune(tiny.ROWS, resume=True)
    message = str(refused.value)
    assert "setting learning_rate: 0.01 then, 0.003 now" in message
    assert "setting num_train_epochs: 3 then, 4 now" in message
    assert "batch_size" not in message


def test_changed_rows_are_refused(tiny_folder, folder):
    rows = [*tiny.ROWS[:-1], tiny.ROWS[0]]
    with pytest.raises(SettingsError, match="data training rows: 18 with"):
        run(tiny_folder, folder).finetune(rows, resume=True)


def test_another_base_model_is_refused(tiny_folder, tiny_gpt2_folder, folder, tmp_path):
    other = copied(tiny_folder, tmp_path / "other")
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "model.safetensors")
    save_file({name: 2 * w for name, w in weights.items()}, other / "model.safetensors")
    with pytest.raises(SettingsError, match="model base weights"):
        run(other, folder).finetune(tiny.ROWS, resume=True)


def test_settings_that_decide_nothing_may_change(tiny_folder, folder, whole):
    changes = {
        "save_steps": 4,
        "save_total_limit": 1,
        "logging_steps": 5,
        "encoding_workers": 2,
        "encoding_cache": str(folder.with_name("cache")),
        "gradient_checkpointing": True,
    }
    run(tiny_folder, folder, **changes).finetune(tiny.ROWS, resume=True)
    assert outcome(folder).weights == whole.weights
    assert outcome(folder).losses == whole.losses


def test_settings_about_places_and_papers_are_known_to_decide_nothing():
    words = ("cache", "checkpointing", "dir", "log", "report", "save", "worker")
    fields = FinetuningConfig.model_fields
    papers = {name for name in fields if any(word in name for word in words)}
    assert papers == IDLE_SETTINGS & papers
    assert IDLE_SETTINGS <= fields.keys()


def test_a_run_that_has_ended_is_not_resumed(tiny_folder, folder):
    run(tiny_folder, folder).finetune(tiny.ROWS, resume=True)
    with pytest.raises(OutputError, match="has ended"):
        run(tiny_folder, folder).finetune(tiny.ROWS, resume=True)


def test_a_run_killed_over_its_report_goes_on_to_write_it(
    tiny_folder, tmp_path, monkeypatch, whole
):
    with monkeypatch.context() as patch:

        def die(*_):
            raise Killed

        patch.setattr(finetuning, "write_papers", die)
        with pytest.raises(Killed):
            run(tiny_folder, tmp_path / "run").finetune(tiny.ROWS)
    assert BaseModel.load(tmp_path / "run")
    run(tiny_folder, tmp_path / "run").finetune(tiny.ROWS, resume=True)
    assert outcome(tmp_path / "run") == whole


def test_a_folder_of_something_else_is_not_resumed(tiny_folder, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("precious")
    with pytest.raises(OutputError, match="in use"):
        run(tiny_folder, tmp_path / "run").finetune(tiny.ROWS, resume=True)


def test_a_new_run_in_the_place_of_an_interrupted_one_is_told_how_to_resume(
    tiny_folder, folder
):
    with pytest.raises(OutputError, match="resume=True"):
        run(tiny_folder, folder).finetune(tiny.ROWS)


# Ends that nobody wished for.


@pytest.mark.parametrize(
    ("number", "expected"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)],
)
def test_a_signal_saves_after_the_step_and_the_run_goes_on_later(
    tiny_folder, tmp_path, whole, number, expected
):
    folder = tmp_path / "run"
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    stopped, stops = heard(RunStopped)

    def interrupt(event):
        if isinstance(event, StepEnded) and event.step == KILLED_AT:
            signal.raise_signal(number)

    with pytest.raises(expected) as ended, listening(interrupt), listening(stops):
        run(tiny_folder, folder, save_steps=100).finetune(tiny.ROWS)
    if number == signal.SIGTERM:
        assert ended.value.code == 143
    last = folder / f"checkpoint-{KILLED_AT}"
    assert [(event.step, event.path) for event in stopped] == [(KILLED_AT, last)]
    after = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    assert after == handlers
    run(tiny_folder, folder, save_steps=100).finetune(tiny.ROWS, resume=True)
    assert outcome(folder).weights == whole.weights
    assert outcome(folder).losses == whole.losses


def test_a_signal_in_the_middle_of_a_step_waits_for_its_end(
    tiny_folder, tmp_path, monkeypatch
):
    real = scoring.supervised_losses
    calls = []

    def interrupted(model, *args, **options):
        calls.extend([0] * model.training)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return real(model, *args, **options)

    monkeypatch.setattr(scoring, "supervised_losses", interrupted)
    with pytest.raises(SystemExit):
        run(
            tiny_folder, tmp_path / "run", save_steps=100, micro_batch_tokens=None
        ).finetune(tiny.ROWS)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-2"]
    assert len(calls) == 4


def test_a_full_disk_ends_the_run_with_the_last_good_checkpoint(
    tiny_folder, tmp_path, monkeypatch
):
    import safetensors.torch

    folder = tmp_path / "run"
    real = safetensors.torch.save_file

    def full(tensors, file, *args, **options):
        if "checkpoint-3" in str(file):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
        return real(tensors, file, *args, **options)

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OutputError, match="disk is full.*good checkpoint.*point-2"):
        run(tiny_folder, folder).finetune(tiny.ROWS)
    assert [path.name for path in folder.iterdir() if path.name[0] == "."] == []


def test_a_run_that_found_the_disk_full_goes_on_when_there_is_space(
    tiny_folder, tmp_path, monkeypatch, whole
):
    with monkeypatch.context() as patch:

        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr("xturing.train.checkpoints._write_manifest", full)
        with pytest.raises(OutputError, match="None was saved yet"):
            run(tiny_folder, tmp_path / "run").finetune(tiny.ROWS)
    run(tiny_folder, tmp_path / "run").finetune(tiny.ROWS, resume=True)
    assert outcome(tmp_path / "run") == whole


def test_a_loss_that_is_no_number_names_the_last_good_checkpoint(
    tiny_folder, tmp_path, monkeypatch
):
    real = scoring.supervised_losses
    calls = []

    def broken(model, *args, **options):
        calls.extend([0] * model.training)
        losses = real(model, *args, **options)
        return losses * (float("nan") if len(calls) > 6 else 1)

    monkeypatch.setattr(scoring, "supervised_losses", broken)
    with pytest.raises(TrainingError, match=r"loss became nan at step 4.*point-3\."):
        run(tiny_folder, tmp_path / "run", micro_batch_tokens=None).finetune(tiny.ROWS)
    assert fault(tmp_path / "run" / "checkpoint-3") is None


def test_a_gradient_that_is_no_number_never_reaches_the_weights(
    tiny_folder, tmp_path, monkeypatch
):
    real = torch.nn.utils.clip_grad_norm_
    calls = []

    def broken(parameters, limit):
        calls.append(0)
        return real(parameters, limit) * (float("inf") if len(calls) > 3 else 1)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", broken)
    with pytest.raises(TrainingError, match=r"gradient became inf at step 4.*-3\."):
        run(tiny_folder, tmp_path / "run").finetune(tiny.ROWS)


def test_where_the_ledger_is_broken_no_checkpoint_is_praised(
    tiny_folder, tmp_path, monkeypatch
):
    real = scoring.supervised_losses
    calls = []

    def lossy(model, *args, **options):
        calls.extend([0] * model.training)
        losses = real(model, *args, **options)
        return losses[:-1] if len(calls) > 4 else losses

    monkeypatch.setattr(scoring, "supervised_losses", lossy)
    with pytest.raises(LedgerError) as broken:
        run(tiny_folder, tmp_path / "run").finetune(tiny.ROWS)
    assert "good checkpoint" not in str(broken.value)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forks")
def test_killed_at_twenty_random_moments_a_run_ends_in_the_same_bits__peer_theme_8(
    tiny_folder, tmp_path
):
    program = Path(tiny.__file__).with_name("killing.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tiny_folder), str(tmp_path), "20"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "20"
    ended = [outcome(folder) for folder in tmp_path.glob("killed-*")]
    assert ended
    whole = outcome(tmp_path / "whole")
    assert all(other == whole for other in ended)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forks")
def test_the_real_model_killed_ends_in_the_same_bits__peer_theme_8(smollm2, tmp_path):
    program = Path(tiny.__file__).with_name("dying.py")
    done = subprocess.run(
        [
            sys.executable,
            str(program),
            str(smollm2.base_folder),
            str(tmp_path),
            "3",
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")
