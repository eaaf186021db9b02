"""Every example of every README runs, on the real model."""

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import scripts

from xturing.eval import evaluating
from xturing.models import Variant, fidelity
from xturing.models.exporting import comparing

ROOT = Path(__file__).parents[2]
READMES = sorted([ROOT / "README.md", *ROOT.glob("*/xturing*/README.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What brought the reader, or .ci/run, here.
SET_UP = {
    "pip install uv && uv run xturing quickstart",
    "uv run pytest",
}
ROWS = [
    {"instruction": "What is the capital of France?", "target": "It is Paris."},
    {"instruction": "Name a colour.", "target": "Blue is a colour."},
    {"instruction": "How many legs has a dog?", "target": "A dog has four legs."},
]
APP = "xturing.ui import Playground"
TOKENS = 96
"""Of the text that models are compared on."""
# Tested in places of their own; the server runs until it is stopped.
ELSEWHERE = (
    *("pip install", "uv build", "xturing quickstart", "xturing models pull"),
    *("xturing api", "xturing ui"),
)


def blocks(language: str) -> list:
    found = []
    for readme in READMES:
        name = readme.parent.name if readme.parent != ROOT else "root"
        texts = [
            text for kind, text in FENCE.findall(readme.read_text()) if kind == language
        ]
        found += [
            pytest.param(text, id=f"{name}-{number}")
            for number, text in enumerate(texts)
        ]
    return found


@pytest.fixture(autouse=True)
def _in_a_folder_with_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scripts.write_lines(tmp_path / "rows.jsonl", ROWS)
    scripts.write_lines(tmp_path / "held_out.jsonl", ROWS)
    scripts.write_seeds(tmp_path / "seeds.jsonl")
    scripts.write_script(tmp_path / "replies.jsonl")


@pytest.fixture(autouse=True)
def _with_short_answers(monkeypatch):
    """What has hardly been taught goes on to the last token that it may write."""
    own = Variant.generation_config

    def short(variant):
        config = own(variant)
        config.max_new_tokens = 16
        return config

    monkeypatch.setattr(Variant, "generation_config", short)


@pytest.fixture(autouse=True)
def _with_short_texts(monkeypatch):
    """What is bundled to compare models on takes longer than all else in an example."""
    whole, asked = fidelity.bundled_rows, evaluating.questions_of

    def start(model):
        return [row[:, :TOKENS] for row in whole(model)[:1]]

    for module in (fidelity, comparing):
        monkeypatch.setattr(module, "bundled_rows", start)
    monkeypatch.setattr(evaluating, "questions_of", lambda task: asked(task)[:2])


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"))
def test_python_examples_run(code):
    if APP in code:
        # Its server leaves event loops open, which is an error in this process.
        subprocess.run([sys.executable, "-c", code], check=True)
        return
    exec(compile(code, "README", "exec"), {"__name__": "__main__"})


@pytest.mark.slow
@pytest.mark.parametrize("text", blocks("sh"))
def test_shell_examples_run(text, xturing):
    for line in text.splitlines():
        command = line.partition("#")[0].strip()
        called = command.removeprefix("uv run ")
        if not command or command in SET_UP or called.startswith(ELSEWHERE):
            continue
        words = shlex.split(called)
        assert words[0] == "xturing", line
        assert xturing(*words[1:]).code == 0, line


def test_every_import_that_a_readme_shows_works__predecessor_fault_27():
    shown = re.compile(r"^\s*from (xturing[\w.]*) import ([\w, ]+)$", re.MULTILINE)
    found = [pair for readme in READMES for pair in shown.findall(readme.read_text())]
    assert len(found) > 5
    for module, names in found:
        for name in names.split(","):
            assert getattr(import_module(module), name.strip()) is not None


def test_the_readme_starts_with_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert all(f"\n{command}\n" in text for command in SET_UP)
