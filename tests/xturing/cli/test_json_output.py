"""`--json`: one strict document on the output stream, and nothing else there."""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scripts
import tiny
from hypothesis import given
from hypothesis import strategies as st

from xturing.cli import render
from xturing.cli.json_output import plain


def refuse(text):
    raise AssertionError(f"{text} is no JSON")


def strictly(text):
    return json.loads(text, parse_constant=refuse)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_every_value_becomes_strict_json(value):
    strictly(json.dumps(plain(value), allow_nan=False))


@given(VALUES)
def test_a_plain_value_stays_as_it_is(value):
    assert plain(plain(value)) == plain(value)


@dataclass(frozen=True)
class Found:
    name: str
    place: Path


def test_what_json_does_not_know_has_a_form_of_its_own():
    assert plain(Found("a", Path("b"))) == {"name": "a", "place": "b"}
    assert plain({"b", "a"}) == ["a", "b"]
    assert plain((np.int64(3), np.float32(0.5))) == [3, 0.5]
    assert plain({1: float("nan"), 2: float("inf")}) == {"1": None, "2": None}
    assert plain(Fraction(1, 2)) == 0.5


def test_what_is_said_beside_a_document_goes_to_the_error_stream(capsys):
    with render.aside():
        render.say("beside")
        render.document([1])
    render.say("after")
    written = capsys.readouterr()
    assert (written.out, written.err) == ("[\n  1\n]\nafter\n", "beside\n")


@pytest.fixture
def rows(tmp_path):
    return scripts.write_lines(tmp_path / "rows.jsonl", tiny.ROWS)


REPORTS = {
    "doctor": ("versions", "machine"),
    "models": ("families", "endings"),
    "models list": ("families", "endings"),
    "models explain smollm2_lora": ("model", "finetuning", "generation"),
    "estimate -m TINY": ("model", "device", "estimates"),
    "eval list": ("tasks", "metrics"),
    "data check rows.jsonl": ("rows", "total", "problems"),
    "data stats rows.jsonl": ("rows", "characters_a_row"),
    "data stats rows.jsonl -m TINY": ("tokens_a_row", "policies", "longer"),
    "data preview rows.jsonl -m TINY": ("max_length", "rows"),
    "data split rows.jsonl parts": ("parts", "output"),
    "data convert rows.jsonl out.jsonl --to messages": ("rows", "format"),
    "data dedup rows.jsonl out.jsonl": ("rows", "left_out"),
    "data mix out.jsonl rows.jsonl=1": ("rows", "mixture"),
    "config explain": ("learning_rate",),
    "export TINY --to safetensors -o out": ("files", "fidelity", "passed"),
    "quantize -m TINY --scheme int8 -o out": ("fidelity", "passed", "output"),
}


@pytest.mark.parametrize("command", REPORTS)
def test_a_report_is_one_document(xturing, tiny_folder, rows, command):
    words = [tiny_folder if word == "TINY" else word for word in command.split()]
    done = xturing(*words, "--json")
    assert done.code == 0, done.err
    assert set(REPORTS[command]) <= strictly(done.out).keys()


def test_a_wrong_row_is_in_the_document_and_in_the_code(xturing, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"instruction": 1, "target": "b"}\n')
    done = xturing("data", "check", "bad.jsonl", "--json")
    told = strictly(done.out)
    assert (done.code, told["total"], len(told["problems"])) == (1, 1, 1)


def test_answers_are_one_document(xturing, tiny_folder, tmp_path):
    (tmp_path / "prompts.txt").write_text("say hello\nsay fox\n")
    words = ["-m", tiny_folder, "--set", "max_new_tokens=4"]
    done = xturing("generate", *words, "--file", "prompts.txt", "--json")
    assert [pair["prompt"] for pair in strictly(done.out)] == ["say hello", "say fox"]


def test_a_run_is_told_by_its_report(xturing, tiny_folder, rows):
    words = ["-m", "generic_lora", "--weights", tiny_folder, "-d", rows, "-o", "out"]
    words += ["--set", "max_length=128", "--set", "max_steps=2"]
    told = strictly(xturing("finetune", *words, "--json").out)
    assert told["steps"] == 2
    assert told["run_ledger"]["planned"] == told["run_ledger"]["in_loss"]


def test_a_failed_gate_is_in_the_document_and_in_the_code(xturing, tiny_folder):
    words = ["-m", tiny_folder, "--scheme", "int1", "-o", "out"]
    done = xturing("quantize", *words, "--max-loss-increase", "0", "--json")
    told = strictly(done.out)
    assert (done.code, told["passed"], told["output"]) == (3, False, None)


def test_a_merge_is_told_by_its_figures(xturing, tiny_model, tmp_path):
    tiny_model.prepare_training()
    tiny_model.save(tmp_path / "adapter")
    told = strictly(xturing("merge", "-m", "adapter", "-o", "out", "--json").out)
    assert told["passed"] is True
    assert told["fidelity"]["divergence"] < 1e-6


def test_an_error_leaves_the_output_stream_empty(xturing):
    done = xturing("models", "explain", "nothing", "--json")
    assert (done.code, done.out) == (1, "")
