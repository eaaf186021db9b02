"""One grammar: what holds for every command there is."""

import re
import subprocess
import sys
from collections import defaultdict
from typing import get_args, get_origin

import pytest
import typer

from xturing.cli.main import app

ROOT = typer.main.get_command(app)
SILENT = {"chat", "api", "ui"}
"""Commands that go on until they are stopped, and report nothing."""
WRITING = {
    *("finetune", "quickstart", "quantize", "merge", "export", "eval", "compare"),
    *("init", "data convert", "data dedup", "data split", "data mix"),
    *("selfinstruct generate", "selfinstruct from-docs", "runs resume", "runs rm"),
}


def walk(command, path=()):
    yield " ".join(path), command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, (*path, name))


COMMANDS = dict(walk(ROOT))
LEAVES = {
    name: each for name, each in COMMANDS.items() if not hasattr(each, "commands")
}
LEAVES["eval"] = COMMANDS["eval"]


def options(command):
    """Return the options of a command."""
    return [each for each in command.params if each.opts[0].startswith("-")]


def by_name():
    """Return the options of all commands by their long names."""
    found = defaultdict(dict)
    for name, command in COMMANDS.items():
        for option in options(command):
            found[long_name(option)][name] = option
    return found


def long_name(option):
    return next(each for each in option.opts if each.startswith("--"))


def kind(option):
    """Return what an option takes, apart from how often it may be given."""
    annotation = option.type_descriptor.annotation
    return get_args(annotation)[0] if get_origin(annotation) is list else annotation


def head(text):
    """Return what a help text has in common with those of the same option elsewhere."""
    return re.split(r"[:.]", text, maxsplit=1)[0]


def names_of(command):
    return {long_name(option) for option in options(command)}


@pytest.mark.parametrize("name", sorted(by_name()))
def test_an_option_means_the_same_in_every_command(name):
    found = by_name()[name]
    assert len({kind(option) for option in found.values()}) == 1, found
    assert len({head(option.help) for option in found.values()}) == 1, {
        command: option.help for command, option in found.items()
    }


def test_a_letter_belongs_to_one_option():
    letters = defaultdict(set)
    for command in COMMANDS.values():
        for option in options(command):
            for short in option.opts:
                if not short.startswith("--"):
                    letters[short].add(long_name(option))
    assert letters == {letter: {next(iter(of))} for letter, of in letters.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example(name):
    assert re.search(r"^\s*Example: xturing|\. Example: xturing", help_of(name), re.M)


def help_of(name):
    command = COMMANDS[name]
    callback = command.callback.__doc__ if command.callback else ""
    return command.help or callback or ""


@pytest.mark.parametrize("name", sorted(LEAVES.keys() - SILENT))
def test_every_command_that_reports_does_so_in_json(name):
    assert "--json" in names_of(LEAVES[name])


@pytest.mark.parametrize("name", sorted(WRITING))
def test_every_command_that_writes_can_run_dry(name):
    assert "--dry-run" in names_of(LEAVES[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_settings_come_by_config_and_set_together(name):
    names = names_of(COMMANDS[name])
    assert ("--config" in names) == ("--set" in names)


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


EVERY_HELP = """
import contextlib, io, os, sys
os.environ["COLUMNS"] = "60"
import typer
from xturing.cli.main import app

def paths(command, path=()):
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from paths(child, (*path, name))

for path in paths(typer.main.get_command(app)):
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        try:
            app([*path, "--help"])
        except SystemExit as ended:
            assert not ended.code, path
    text = shown.getvalue()
    assert "Usage" in text, path
    widest = max(text.splitlines(), key=len)
    assert len(widest) <= 60, (path, widest)
print(*sys.modules)
"""


def test_help_loads_nothing_heavy_and_fits_on_60_columns():
    loaded = set(run(EVERY_HELP).split())
    heavy = "torch transformers lightning peft datasets numpy gradio fastapi openvino"
    assert not loaded & set(heavy.split())


@pytest.mark.parametrize(
    "option", ["--model", "-m", "--model_name_or_path", "--model_path"]
)
def test_the_predecessor_s_options_still_name_a_model(option, xturing, tiny_folder):
    # Their commands answer until they are stopped; the same grammar holds for all.
    done = xturing("estimate", option, tiny_folder, "--json")
    assert done.code == 0, done.err


def test_a_model_is_named_once(xturing):
    done = xturing("export", "smollm2", "-m", "smollm2", "--to", "gguf")
    assert (done.code, "both name a model" in done.err) == (1, True)


def test_a_model_has_to_be_named(xturing):
    done = xturing("export", "--to", "gguf")
    assert (done.code, "Name a model" in done.err) == (1, True)


def test_the_codes_are_told_by_the_help(xturing):
    text = xturing("--help").out
    for code in ("0 fine", "1 an error", "2 wrong usage", "3 a", "130", "143", "141"):
        assert code in text
