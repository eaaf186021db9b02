"""`xturing runs`: what is found, told, gone on with and removed."""

import json
import signal
from pathlib import Path

import pytest
import scripts
import tiny

from xturing.cli import run_folders
from xturing.cli.finetune_jobs import COMMAND_FILE, FinetuneJob, locked
from xturing.core.errors import DataError
from xturing.core.events import listening
from xturing.core.settings import Layer
from xturing.models import folders
from xturing.train import StepEnded, checkpoints, report


@pytest.fixture
def begun(xturing, tiny_folder, tmp_path):
    """Return what begins a run, in a folder of that name, from a folder of its own."""
    (tmp_path / "rows").mkdir()
    scripts.write_lines(tmp_path / "rows" / "rows.jsonl", tiny.ROWS)
    options = ["-m", "generic_lora", "--weights", tiny_folder, "--shape", "xturing"]
    for setting in ("max_length=128", "batch_size=4", "report_samples=0"):
        options += ["--set", setting]

    def finetune(folder):
        rows = Path("rows") / "rows.jsonl"
        return xturing("finetune", *options, "-d", rows, "-o", folder)

    return finetune


@pytest.fixture
def interrupted(begun):
    """Return what stops a run after its third step."""

    def stop(event):
        if isinstance(event, StepEnded) and event.step == 3:
            signal.raise_signal(signal.SIGINT)

    def finetune(folder):
        with listening(stop):
            done = begun(folder)
        assert done.code == 130
        return folder

    return finetune


def listed(xturing, *words):
    done = xturing("runs", "list", *words, "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_names_of_files_are_those_that_training_writes():
    assert run_folders.CARD_FILE == folders.CARD_FILE
    assert run_folders.METRICS_FILE == checkpoints.METRICS
    for name in ("LEDGER_FILE", "PAGE_FILE", "REPORT_FILE"):
        assert getattr(run_folders, name) == getattr(report, name)


def test_a_run_that_ended_is_done_and_tells_what_it_did(xturing, begun):
    assert begun("tuned").code == 0
    (run,) = listed(xturing)
    assert (run["path"], run["state"]) == ("tuned", "done")
    assert run["model"] == "generic_lora"
    assert run["step"] == run["steps"] > 3
    told = json.loads(xturing("runs", "show", "tuned", "--json").out)
    assert told["settings"]["batch_size"]["source"] == "option --set batch_size"
    assert told["ledger"]["training_rows"]["rows"] == 18
    assert told["report"] == str(Path("tuned") / "report.html")
    assert told["peak_memory_bytes"] > 0


def test_show_is_for_people_too(xturing, begun):
    begun("tuned")
    out = xturing("runs", "show", "tuned").out
    for text in ("batch_size", "Held-out loss", "Tokens", "Peak memory", "report.html"):
        assert text in out


def test_an_interrupted_run_goes_on_with_nothing_else_to_type(
    xturing, interrupted, tmp_path, monkeypatch
):
    interrupted("tuned")
    (run,) = listed(xturing)
    assert (run["state"], run["step"]) == ("interrupted", 3)
    assert "runs resume tuned" in xturing("runs", "show", "tuned").out
    # Rows are found again from wherever that is typed.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = xturing("runs", "resume", tmp_path / "tuned")
    assert done.code == 0, done.err
    assert "Going on after step 3" in done.err
    assert listed(xturing, tmp_path)[0]["state"] == "done"


def test_a_resumed_run_learns_what_it_would_have_learnt(xturing, begun, interrupted):
    begun("whole")
    interrupted("parts")
    xturing("runs", "resume", "parts")
    whole, parts = (
        json.loads(xturing("runs", "show", name, "--json").out)["held_out_losses"][-1]
        for name in ("whole", "parts")
    )
    assert whole == parts


def test_a_run_that_ended_is_not_resumed(xturing, begun):
    begun("tuned")
    done = xturing("runs", "resume", "tuned")
    assert (done.code, "nothing to go on with" in done.err) == (1, True)


def test_a_run_is_running_as_long_as_its_file_is_held(xturing, interrupted, tmp_path):
    interrupted("tuned")
    with locked(tmp_path / "tuned" / COMMAND_FILE):
        (run,) = listed(xturing)
        assert run["state"] == "running"
        for command in ("resume", "rm"):
            done = xturing("runs", command, "tuned")
            assert (done.code, "going on at this moment" in done.err) == (1, True)
    assert listed(xturing)[0]["state"] == "interrupted"


def test_a_run_begun_by_other_means_is_called_unfinished(
    xturing, interrupted, tmp_path
):
    interrupted("tuned")
    (tmp_path / "tuned" / COMMAND_FILE).unlink()
    assert listed(xturing)[0]["state"] == "unfinished"
    done = xturing("runs", "resume", "tuned")
    assert (done.code, "not begun by `xturing finetune`" in done.err) == (1, True)


def test_what_was_asked_is_read_back(tmp_path):
    job = FinetuneJob(
        model="smollm2_lora",
        data="owner/rows",
        limit=3,
        reading={"source": None, "split": "train", "shape": None, "columns": None},
        layers=(Layer(source="file x.yaml", values={"batch_size": 2}),),
    )
    with job.kept(tmp_path, 9):
        pass
    assert FinetuneJob.read(tmp_path) == job


@pytest.mark.parametrize("text", ["[]", '{"format": 1}', '{"format": 9}', "{"])
def test_a_file_that_says_nothing_useful_is_refused(tmp_path, text):
    (tmp_path / COMMAND_FILE).write_text(text)
    with pytest.raises(DataError, match=COMMAND_FILE):
        FinetuneJob.read(tmp_path)


def test_runs_are_found_below_a_folder_and_not_within_one_another(
    xturing, begun, tmp_path
):
    begun("deep/er/tuned")
    (tmp_path / "empty").mkdir()
    found = listed(xturing)
    assert [run["path"] for run in found] == [str(Path("deep/er/tuned"))]
    assert "There are no runs" in xturing("runs", "list", "empty").out


def test_a_removed_run_is_gone_and_nothing_else_is(xturing, begun, tmp_path):
    begun("tuned")
    before = {path.name for path in tmp_path.iterdir()}
    done = xturing("runs", "rm", "tuned", "--yes", "--json")
    assert json.loads(done.out)["removed"] is True
    assert {path.name for path in tmp_path.iterdir()} == before - {"tuned"}


@pytest.mark.parametrize("typed", ["n\n", "\n", ""])
def test_a_run_is_removed_only_if_that_is_agreed(xturing, begun, tmp_path, typed):
    begun("tuned")
    done = xturing("runs", "rm", "tuned", typed=typed)
    assert done.code == 1
    assert (tmp_path / "tuned" / "report.json").is_file()


def test_a_dry_run_removes_nothing(xturing, begun, tmp_path):
    begun("tuned")
    assert "Would remove tuned" in xturing("runs", "rm", "tuned", "--dry-run").out
    assert (tmp_path / "tuned").is_dir()


def no_run(tmp_path):
    (tmp_path / "tuned" / "ledger.json").write_text("{}")


def a_repository(tmp_path):
    (tmp_path / "tuned" / ".git").mkdir()


def another_run_in_it(tmp_path):
    (tmp_path / "tuned" / "other").mkdir()
    (tmp_path / "tuned" / "other" / "ledger.json").write_text("{}")


def a_link(tmp_path):
    (tmp_path / "tuned").rename(tmp_path / "real")
    (tmp_path / "tuned").symlink_to(tmp_path / "real")


@pytest.mark.parametrize("spoil", [no_run, a_repository, another_run_in_it, a_link])
def test_what_is_more_or_other_than_a_run_is_not_removed(
    xturing, begun, tmp_path, spoil
):
    begun("tuned")
    spoil(tmp_path)
    done = xturing("runs", "rm", "tuned", "--yes")
    assert done.code == 1, done.out
    assert (tmp_path / "tuned" / "report.html").is_file()


def test_the_folder_that_one_is_in_is_not_removed(
    xturing, begun, tmp_path, monkeypatch
):
    begun("tuned")
    monkeypatch.chdir(tmp_path / "tuned")
    done = xturing("runs", "rm", tmp_path / "tuned", "--yes")
    assert (done.code, "you are in it" in done.err) == (1, True)
