"""Jobs: processes that outlive pages, and folders that tell of them."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import idling
import pytest

from xturing.core.errors import OutputError, SettingsError, UnknownNameError
from xturing.ui.jobs.progress import (
    End,
    Moved,
    Note,
    Point,
    read_progress,
    write_mark,
)
from xturing.ui.jobs.store import Job, Jobs

PATIENCE = 120


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """Return jobs whose workers know the kind `idle`, as that of a plug-in."""
    plugin = tmp_path / "plugins" / "idling-1.0.dist-info"
    plugin.mkdir(parents=True)
    (plugin / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: idling\nVersion: 1.0"
    )
    (plugin / "entry_points.txt").write_text("[xturing.jobs]\nidle = idling:KIND\n")
    places = [str(plugin.parent), str(Path(idling.__file__).parent)]
    for place in places:
        monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    found = Jobs(tmp_path / "jobs", tmp_path)
    yield found
    for process in found._own.values():
        process.wait(PATIENCE)


def ended(jobs: Jobs, id_: str) -> Job:
    return until(jobs, id_, lambda job: job.state != "running")


def until(jobs: Jobs, id_: str, holds) -> Job:
    deadline = time.monotonic() + PATIENCE
    while not holds(job := jobs.job(id_)):
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


def has_ticked(job: Job) -> bool:
    return any("tick" in note for note in job.progress.notes)


def test_a_job_tells_what_it_does_and_what_came_of_it(jobs: Jobs):
    job = ended(jobs, jobs.start("idle", idling.IdleWish(ticks=2)).id)
    assert job.state == "done"
    assert job.progress.notes == ("Begun", "tick 0", "tick 1")
    assert job.progress.end is not None
    assert job.progress.end.result == {"ticks": 2, "was_resumed": False}


def test_an_error_is_one_sentence(jobs: Jobs):
    job = ended(jobs, jobs.start("idle", idling.IdleWish(ends="refused")).id)
    assert job.state == "failed"
    assert job.progress.end is not None
    assert job.progress.end.sentence == "Row 3 has no answer."


def test_what_was_not_expected_has_its_traceback_in_the_log_alone(jobs: Jobs):
    job = ended(jobs, jobs.start("idle", idling.IdleWish(ends="broken")).id)
    assert job.progress.end is not None
    assert "one by nothing" in job.progress.end.sentence
    assert "Traceback" not in job.progress.end.sentence
    assert "Traceback" in jobs.log(job.id)


def test_a_job_that_was_stopped_goes_on(jobs: Jobs):
    started = jobs.start("idle", idling.IdleWish(ticks=100_000))
    until(jobs, started.id, has_ticked)
    jobs.stop(started.id)
    job = ended(jobs, started.id)
    assert (job.state, job.can_go_on) == ("stopped", True)
    jobs.resume(job.id)
    jobs.stop(started.id)
    assert ended(jobs, started.id).state == "stopped"


def test_a_job_that_goes_on_knows_it(jobs: Jobs):
    failed = ended(jobs, jobs.start("idle", idling.IdleWish(ends="refused")).id)
    (jobs._folder / failed.id / "job.json").write_text(
        (jobs._folder / failed.id / "job.json").read_text().replace("refused", "well")
    )
    jobs.resume(failed.id)
    done = ended(jobs, failed.id)
    assert done.progress.end is not None
    assert done.progress.end.result["was_resumed"] is True


def test_other_apps_see_a_job_and_stop_it(jobs: Jobs, tmp_path: Path):
    started = jobs.start("idle", idling.IdleWish(ticks=100_000))
    until(jobs, started.id, has_ticked)
    others = Jobs(tmp_path / "jobs", tmp_path)
    assert [job.state for job in others.all()] == ["running"]
    others.stop(started.id)
    assert ended(others, started.id).state == "stopped"


def test_a_job_whose_process_was_killed_is_lost_and_goes_on(jobs: Jobs):
    started = jobs.start("idle", idling.IdleWish(ticks=100_000))
    until(jobs, started.id, has_ticked)
    pid = int((jobs._folder / started.id / "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    job = ended(jobs, started.id)
    assert (job.state, job.can_go_on) == ("lost", True)


def test_jobs_take_turns(jobs: Jobs):
    first = jobs.start("idle", idling.IdleWish(ticks=100_000))
    until(jobs, first.id, has_ticked)
    second = jobs.start("idle", idling.IdleWish(ticks=1))
    waiting = until(jobs, second.id, lambda job: len(job.progress.notes) > 1)
    assert waiting.progress.notes[-1] == "Waiting for another job to end"
    assert not has_ticked(waiting)
    jobs.stop(first.id)
    assert ended(jobs, second.id).state == "done"


def test_a_job_at_work_is_not_removed(jobs: Jobs):
    started = jobs.start("idle", idling.IdleWish(ticks=100_000))
    with pytest.raises(OutputError, match="stop it first"):
        jobs.remove(started.id)
    until(jobs, started.id, has_ticked)
    jobs.stop(started.id)
    ended(jobs, started.id)
    jobs.remove(started.id)
    assert jobs.all() == []


def test_what_is_done_does_not_go_on(jobs: Jobs):
    job = ended(jobs, jobs.start("idle", idling.IdleWish(ticks=0)).id)
    with pytest.raises(SettingsError, match="is done"):
        jobs.resume(job.id)


@pytest.mark.parametrize("id_", ["../jobs", "", ".", "nothing", "/etc"])
def test_no_name_leads_out_of_the_jobs(jobs: Jobs, tmp_path: Path, id_: str):
    (tmp_path / "job.json").write_text("{}")
    with pytest.raises(SettingsError, match="There is no job"):
        jobs.log(id_)


def test_a_kind_that_there_is_not_is_refused(jobs: Jobs):
    with pytest.raises(UnknownNameError):
        jobs.start("nothing", idling.IdleWish())


def test_figures_of_one_step_are_one_point(tmp_path: Path):
    write_mark(tmp_path, Point(step=1, figures={"loss": 2.0}))
    write_mark(tmp_path, Point(step=1, figures={"held-out loss": 3.0}))
    (point,) = read_progress(tmp_path).points
    assert point.figures == {"loss": 2.0, "held-out loss": 3.0}


def test_half_a_line_is_passed_over(tmp_path: Path):
    write_mark(tmp_path, Note(text="whole"))
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"at": 1, "kind": "No')
    assert read_progress(tmp_path).notes == ("whole",)


def test_what_follows_an_end_is_another_beginning(tmp_path: Path):
    write_mark(tmp_path, End(how="failed", sentence="no"))
    write_mark(tmp_path, Note(text="again"))
    assert read_progress(tmp_path).end is None


def test_the_time_that_is_left_follows_from_the_pace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for done in range(5):
        monkeypatch.setattr(time, "time", lambda done=done: 100.0 + 2 * done)
        write_mark(tmp_path, Moved(done=done, total=10))
    assert read_progress(tmp_path).seconds_left == pytest.approx(12)
