"""How the command ends: its codes, a reader that goes away, Ctrl-C; and completion."""

import os
import signal
import subprocess
import sys

import pytest

COMMAND = "import sys; sys.argv[0] = 'xturing'; from xturing.cli.main import run; run()"


def start(*words, **options):
    """Start the command as a process of its own."""
    environment = os.environ | options.pop("environment", {})
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, words)],
        env=environment,
        text=True,
        **options,
    )


def finished(*words, **environment):
    """Return the code, output and errors of the command."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start(*words, environment=environment, **pipes)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("models", "list"), 0),
        (("models", "explain", "nothing"), 1),
        (("models", "explain"), 2),
        (("nothing",), 2),
    ],
)
def test_the_code_says_how_it_ended(words, code):
    assert finished(*words)[0] == code


def unread(words):
    """Return how a command ends whose reader is gone, and what it says of it."""
    reader, writer = os.pipe()
    os.close(reader)
    process = start(*words.split(), stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    _, err = process.communicate(timeout=300)
    return process.returncode, err


@pytest.mark.parametrize("words", ["models list", "models list --json", "models"])
def test_a_reader_that_goes_away_ends_it_in_silence(words):
    code, err = unread(words)
    # What a shell says of a program that SIGPIPE ended.
    assert (code, err) == (141, "")


@pytest.mark.parametrize("words", ["--help", "finetune --help", "--version"])
def test_help_that_nobody_reads_leaves_no_traceback(words):
    code, err = unread(words)
    assert "Traceback" not in err
    assert code != 0


def test_ctrl_c_ends_a_conversation_without_a_traceback(tiny_folder):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = start("chat", "-m", tiny_folder, "--engine", "torch", **pipes)
    while "/exit ends it" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, "Traceback" in err) == (130, False)


@pytest.mark.parametrize("words", ["models", "doctor", "estimate -m smollm2"])
def test_ctrl_c_ends_whatever_goes_on(xturing, monkeypatch, words):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("xturing.cli.render.table", interrupt)
    done = xturing(*words.split())
    assert (done.code, "Traceback" in done.err) == (130, False)


@pytest.mark.parametrize(
    "words", ["config explain", "models explain smollm2_lora", "eval list"]
)
def test_tables_fit_on_60_columns(words):
    code, out, _ = finished(*words.split(), COLUMNS="60")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 60


def completed(line):
    """Return what a shell offers for a line that is being typed."""
    words = line.split(" ")
    code, out, err = finished(
        _XTURING_COMPLETE="complete_bash",
        COMP_WORDS=line,
        COMP_CWORD=str(len(words) - 1),
    )
    assert code == 0, err
    return out.split()


def test_a_shell_completes_the_names_of_commands():
    assert {"models", "merge", "migrate"} <= set(completed("xturing m"))
    assert completed("xturing runs res") == ["resume"]


@pytest.mark.parametrize(
    "line",
    [
        "xturing finetune -m smollm2_lo",
        "xturing models explain smollm2_lo",
        "xturing export smollm2_lo",
        "xturing eval -m smollm2_lo",
    ],
)
def test_a_shell_completes_the_names_of_models(line):
    offered = completed(line)
    assert "smollm2_lora" in offered
    assert all(name.startswith("smollm2_lo") for name in offered)
