"""`--dry-run`: everything is checked as it would be, and nothing is written."""

import json
from pathlib import Path

import pytest
import scripts
import tiny


@pytest.fixture
def rows(tmp_path):
    return scripts.write_lines(tmp_path / "rows.jsonl", tiny.ROWS)


@pytest.fixture
def adapter(tiny_model, tmp_path):
    tiny_model.prepare_training()
    tiny_model.save(tmp_path / "adapter")
    return tmp_path / "adapter"


FINETUNE = "finetune -m generic_lora --weights TINY -d rows.jsonl -o out"
COMMANDS = {
    FINETUNE: ("model", "rows", "tokens", "settings", "output"),
    "quickstart -o out": ("model", "rows", "held_out_rows", "settings"),
    "quantize -m TINY --scheme int4 -o out --check rows.jsonl": ("backend", "scheme"),
    "merge adapter -o out": ("adapter", "output"),
    "export TINY --to gguf -o out": ("format", "scheme"),
    "eval -m TINY -d rows.jsonl -o out": ("task", "questions", "metrics", "models"),
    "compare TINY TINY -d rows.jsonl --limit 3": ("questions", "models"),
    "data convert rows.jsonl out.jsonl --to messages": ("rows", "format"),
    "data dedup rows.jsonl out.jsonl": ("rows", "left_out"),
    "data split rows.jsonl out": ("parts",),
    "data mix out.jsonl rows.jsonl=1": ("rows", "mixture"),
}


def there(folder):
    """Return all that is in a folder, with what each file holds."""
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_it_says_what_would_be_done_and_writes_nothing(
    xturing, tiny_folder, rows, adapter, tmp_path, command
):
    before = there(tmp_path)
    words = [tiny_folder if word == "TINY" else word for word in command.split()]
    done = xturing(*words, "--dry-run", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["dry_run"] is True
    assert set(COMMANDS[command]) <= told.keys()
    shown = xturing(*words, "--dry-run")
    assert (shown.code, "nothing was written" in shown.out) == (0, True), shown.err
    assert there(tmp_path) == before


def test_the_tokens_are_those_that_the_run_has(xturing, tiny_folder, rows):
    words = [tiny_folder if word == "TINY" else word for word in FINETUNE.split()]
    words += ["--set", "max_length=128", "--set", "validation_split=0"]
    words += ["--set", "max_steps=1"]
    told = json.loads(xturing(*words, "--dry-run", "--json").out)["tokens"]
    xturing(*words)
    ledger = json.loads(Path("out/ledger.json").read_text())["training_rows"]
    for part in ("rows", "answer", "end_of_turn", "prompt", "template"):
        assert told[part] == ledger[part]


MISTAKES = {
    "finetune -m smolm2_lora -d rows.jsonl": "no model 'smolm2_lora'",
    "finetune -m generic_lora -d rows.jsonl": "has no checkpoint of its own",
    "finetune -m generic_lora --weights ./gone -d rows.jsonl": "no model at ./gone",
    "finetune -m smollm2_lora -d gone.jsonl": "gone.jsonl",
    "finetune -m smollm2_lora -d rows.jsonl --set max_length=9": "max_length=9",
    "finetune -m smollm2_lora -d rows.jsonl -o .": "in use already",
    "finetune -m smollm2_lora -d rows.jsonl --set output_dir=.": "in use already",
    "quickstart -o .": "in use already",
    "quantize -m smollm2_int4 --scheme int4 -o out": "quantizing twice",
    "merge TINY -o out": "holds a whole model",
    "export TINY --to gguf --scheme int4": "It has f16, q8_0, f32",
    "eval -m smolm2 -d rows.jsonl": "no model 'smolm2'",
    "eval -m TINY -d rows.jsonl --metrics exact": "exact",
    "data convert rows.jsonl rows.jsonl --to messages": "is there already",
    "data split rows.jsonl .": "in use already",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_told_as_it_would_be(xturing, tiny_folder, rows, command):
    words = [tiny_folder if word == "TINY" else word for word in command.split()]
    done = xturing(*words, "--dry-run")
    assert (done.code, MISTAKES[command] in done.err) == (1, True), done.err
