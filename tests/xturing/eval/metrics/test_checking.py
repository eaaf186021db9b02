"""Checkers end as they should, and take no more than they may."""

import fcntl
import stat
import sys
import textwrap
from pathlib import Path

import pytest

from xturing.core.errors import SettingsError
from xturing.eval.metrics.checking import Checked, Checker, Limits

LIMITS = Limits(seconds=20, memory=200 * 1000**2, file_size=10_000, processes=50)


@pytest.fixture
def checked(tmp_path):
    """Return a function that writes a checker, and what it makes of an answer."""

    def check(source: str, *, limits: Limits = LIMITS, **given: object) -> Checked:
        path = tmp_path / "checker.py"
        path.write_text(textwrap.dedent(source))
        return Checker(str(path), limits).check(given)

    return check


def test_a_checker_passes_an_answer_by_the_code_0(checked):
    assert checked("pass") == Checked("passed")


def test_a_checker_that_fails_says_why_last(checked):
    found = checked(
        "import sys; print('no', 'because', sep='\\n', file=sys.stderr); exit(3)"
    )
    assert found == Checked("failed", "because")


def test_a_failed_assertion_is_told(checked):
    assert checked("assert 1 == 2, 'one is not two'") == Checked(
        "failed", "AssertionError: one is not two"
    )


def test_a_checker_that_crashes_is_told_from_one_that_fails(checked):
    assert checked("import os; os.abort()").ending == "crashed"


def test_a_checker_that_sleeps_is_ended(checked):
    limits = Limits(seconds=1)
    assert checked("import time; time.sleep(600)", limits=limits).ending == "timed out"


def test_a_checker_that_never_stops_computing_is_ended(checked):
    assert checked("while True: pass", limits=Limits(seconds=1)).ending == "timed out"


def test_processor_time_is_limited_as_well(checked):
    found = checked(
        """
        import resource
        assert resource.getrlimit(resource.RLIMIT_CPU) == (20, 21)
        """
    )
    assert found.ending == "passed", found.said


def test_a_checker_that_takes_too_much_memory_does_not_pass(checked):
    found = checked("bytearray(400 * 1000**2)")
    assert found == Checked("failed", "MemoryError")


def test_a_checker_that_writes_too_much_does_not_pass(checked):
    found = checked("with open('big', 'wb') as file: file.write(bytes(20_000))")
    assert found.ending == "failed"
    assert "too large" in found.said


def test_what_a_checker_says_is_limited_too(checked):
    found = checked("import sys\nwhile True: sys.stderr.write('x' * 999 + '\\n')")
    assert found.ending != "passed"
    assert len(found.said) <= 999


def test_the_number_of_processes_is_limited(checked):
    found = checked(
        """
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        assert 50 < soft <= hard != resource.RLIM_INFINITY
        """
    )
    assert found.ending == "passed", found.said


@pytest.mark.parametrize("end", ["", "time.sleep(600)"])
def test_what_a_checker_has_started_ends_with_it(checked, tmp_path, end):
    lock = tmp_path / "lock"
    source = f"""
    import fcntl, os, sys, time
    held = open({str(lock)!r}, "w")
    fcntl.flock(held, fcntl.LOCK_EX)
    if os.fork() == 0:
        time.sleep(600)
    {end}
    """
    checked(source, limits=Limits(seconds=2))
    # Only processes that still run hold the lock; the one that waits for it would hang.
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)


def test_secrets_of_the_environment_are_kept_from_it(checked, monkeypatch):
    monkeypatch.setenv("SECRET_API_KEY", "123")
    monkeypatch.setenv("SOME_TOKEN", "123")
    found = checked(
        """
        import os
        assert not [name for name in os.environ if name.endswith(("_KEY", "_TOKEN"))]
        assert "123" not in os.environ.values()
        assert os.environ["PATH"]
        """
    )
    assert found.ending == "passed", found.said


def test_it_runs_in_an_empty_folder_that_is_removed(checked, tmp_path):
    told = tmp_path / "told"
    found = checked(
        f"""
        import os
        assert os.listdir() == []
        assert os.getcwd() == os.path.realpath(os.environ["HOME"])
        open("left", "w").close()
        open({str(told)!r}, "w").write(os.getcwd())
        """
    )
    assert found.ending == "passed", found.said
    assert not Path(told.read_text()).exists()


def test_a_file_beside_a_checker_can_be_imported(checked, tmp_path):
    (tmp_path / "beside.py").write_text("x = 1")
    assert checked("import beside").ending == "passed"
    assert not (tmp_path / "__pycache__").exists()


def test_strings_have_the_same_hash_each_time(checked):
    assert checked("exit(hash('a') % 5)") == checked("exit(hash('a') % 5)")


def test_a_command_finds_its_files_from_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "check.py").write_text("exit(0)")
    assert Checker([sys.executable, "check.py"], LIMITS).check({}).ending == "passed"


def test_a_command_may_be_longer_than_a_path():
    command = [sys.executable, "-c", "pass #" + "x" * 5000]
    assert Checker(command, LIMITS).check({}).ending == "passed"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("nowhere.py", "no checker .*nowhere.py.*list"),
        ([], "empty command"),
        (["no-such-program"], "no program 'no-such-program'"),
    ],
)
def test_a_checker_that_is_not_there_is_refused(program, message):
    with pytest.raises(SettingsError, match=message):
        Checker(program, LIMITS)


def test_a_checker_with_wrong_syntax_is_refused_before_it_fails_everything(tmp_path):
    (tmp_path / "checker.py").write_text("def (")
    with pytest.raises(SettingsError, match="is not Python"):
        Checker(str(tmp_path / "checker.py"), LIMITS)


def test_a_checker_that_cannot_be_run_is_no_wrong_answer(tmp_path):
    program = tmp_path / "program"
    program.write_text("no program")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    checker = Checker([str(program)], LIMITS)
    with pytest.raises(
        SettingsError, match=r"could not be run \(exit code 126\).*program"
    ):
        checker.check({})
