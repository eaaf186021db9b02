"""Kinds of jobs: the same by hand, and what came of them."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from xturing.core.settings import Settings
from xturing.ui.kinds import KINDS
from xturing.ui.kinds.evaluate import EvaluateWish
from xturing.ui.kinds.export import ExportWish
from xturing.ui.kinds.finetune import FinetuneWish
from xturing.ui.kinds.quantize import QuantizeWish
from xturing.ui.kinds.selfinstruct import SelfInstructWish

LEARN = {"max_steps": 2, "report": False, "lora_targets": ["q_proj", "v_proj"]}
WISHES = [
    (
        "finetune",
        FinetuneWish(
            model="generic_lora",
            weights="acme/acme-1b",
            data="my rows.jsonl",
            eval_data="held out.jsonl",
            limit=7,
            output="tuned",
            settings=LEARN,
        ),
    ),
    (
        "evaluate",
        EvaluateWish(
            models=("smollm2", "tuned"),
            data="rows.jsonl",
            metrics=("loss", "rouge"),
            limit=3,
            output="scores",
        ),
    ),
    ("evaluate", EvaluateWish(models=("smollm2",), task="common_sense", output="s")),
    (
        "selfinstruct",
        SelfInstructWish(
            engine="local:smollm2", seeds="seeds.jsonl", count=3, output="made"
        ),
    ),
    (
        "selfinstruct",
        SelfInstructWish(
            engine="openai:gpt-4.1-mini", documents="docs", max_cost=0.5, output="made"
        ),
    ),
    ("quantize", QuantizeWish(model="smollm2", scheme="int8", output="small")),
    ("export", ExportWish(model="tuned", to="gguf", scheme="q8_0", output="files")),
]
each_wish = pytest.mark.parametrize(
    ("kind", "wish"), WISHES, ids=lambda value: value if isinstance(value, str) else ""
)


@each_wish
def test_the_command_is_one_that_there_is(kind: str, wish: Settings):
    words = KINDS[kind].command(wish)
    assert words[0] == "xturing"
    assert shlex.split(shlex.join(words)) == words


@each_wish
def test_the_python_is_python(kind: str, wish: Settings):
    compile(KINDS[kind].snippet(wish), "snippet", "exec")


@each_wish
def test_a_wish_survives_its_file(kind: str, wish: Settings):
    told = wish.model_dump(mode="json", exclude_unset=True)
    assert KINDS[kind].wish(**told) == wish


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, check=False, env=os.environ
    )


@each_wish
def test_the_command_is_understood(kind: str, wish: Settings, tmp_path: Path):
    words = [*KINDS[kind].command(wish)[1:], "--dry-run"]
    entry = "from xturing.cli.main import run; run()"
    found = run([sys.executable, "-c", entry, *words], tmp_path)
    # A wrong option would be 2; here there are no such rows or folders.
    assert found.returncode in (0, 1), found.stderr


def test_page_command_and_python_learn_the_same(tiny_folder: Path, tmp_path: Path):
    """The three ways end in the same weights, to the bit."""
    from safetensors.numpy import load_file

    rows = "".join(
        f'{{"instruction": "Say {n}", "output": "{n} it is"}}\n' for n in range(12)
    )
    (tmp_path / "rows.jsonl").write_text(rows)
    kind = KINDS["finetune"]

    def wish(output: str) -> FinetuneWish:
        return FinetuneWish(
            model="generic_lora",
            weights=str(tiny_folder),
            data=str(tmp_path / "rows.jsonl"),
            output=str(tmp_path / output),
            settings={"max_steps": 2, "report": False, "validation_split": 0.0},
        )

    result = kind.run(wish("page"), is_resumed=False)
    assert result["steps"] == 2
    command = kind.command(wish("command"))[1:]
    entry = "from xturing.cli.main import run; run()"
    found = run([sys.executable, "-c", entry, *command], tmp_path)
    assert found.returncode == 0, found.stderr
    found = run([sys.executable, "-c", kind.snippet(wish("python"))], tmp_path)
    assert found.returncode == 0, found.stderr
    page, *others = (
        load_file(tmp_path / name / "adapter_model.safetensors")
        for name in ("page", "command", "python")
    )
    for other in others:
        assert other.keys() == page.keys()
        assert all((other[name] == page[name]).all() for name in page)
