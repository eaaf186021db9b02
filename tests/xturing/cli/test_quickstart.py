import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from xturing.cli.quickstart import _is_valid, sample

ROOT = Path(__file__).parents[3]


def test_no_held_out_ticket_is_among_those_that_are_learnt():
    training, held_out = sample()
    learnt = {row["instruction"] for row in training}
    assert len(learnt) == len(training) == 240
    assert not learnt & {row["instruction"] for row in held_out}


def test_every_answer_of_the_sample_is_strict_json():
    for part in sample():
        for row in part:
            assert list(json.loads(row["target"])) == [
                "customer",
                "order",
                "product",
                "issue",
                "urgent",
            ]


def test_the_sample_is_what_its_generator_writes(tmp_path):
    folder = ROOT / "apps/xturing-cli/src/xturing/cli/sample"
    code = (
        "import runpy, pathlib; "
        f"made = runpy.run_path({str(ROOT / 'tools/write_sample.py')!r}); "
        "rows = made['tickets'](made['TRAINING_ROWS'] + made['HELD_OUT_ROWS'], "
        "made['SEED']); "
        f"out = pathlib.Path({str(tmp_path)!r}); "
        "made['write'](out / 'tickets.jsonl', rows[:made['TRAINING_ROWS']]); "
        "made['write'](out / 'held_out.jsonl', rows[made['TRAINING_ROWS']:])"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for file in sorted(folder.iterdir()):
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()


def test_an_answer_is_valid_only_with_just_the_fields_asked_for():
    target = '{"a": 1, "b": 2}'
    assert _is_valid('{"b": 3, "a": null}', target)
    assert not _is_valid('{"a": 1}', target)
    assert not _is_valid('{"a": 1, "b": 2} and more', target)
    assert not _is_valid("[1, 2]", target)


def test_the_command_is_a_module_that_can_be_run():
    assert callable(import_module("xturing.cli.main").run)
