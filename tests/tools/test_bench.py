"""The table of all benchmarks, on benchmarks that are over at once."""

import importlib.util
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "tools" / "bench"
SCRIPT = """
import argparse, sys
sys.path.insert(0, {bench!r})
from results import Ratio, add_option, record

parser = argparse.ArgumentParser()
parser.add_argument("--speed", type=float)
add_option(parser)
given = parser.parse_args()
if given.speed is None:
    sys.exit("it failed")
record(given.json, [Ratio(name="tortoise / hare", value=given.speed)])
sys.exit(int(given.speed < 1))
"""


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """Return the module, with one script that can do well, miss its bound or fail."""
    monkeypatch.syspath_prepend(BENCH)
    spec = importlib.util.spec_from_file_location("bench_all", BENCH / "all.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_all", module)
    spec.loader.exec_module(module)
    (tmp_path / "race.py").write_text(SCRIPT.format(bench=str(BENCH)))
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    benchmarks = {
        "race": ("race.py", "--speed", "1.5"),
        "slow race": ("race.py", "--speed", "0.5"),
        "no race": ("race.py",),
    }
    monkeypatch.setattr(module, "BENCHMARKS", benchmarks)
    return module


def test_a_ratio_stands_beside_the_command_that_finds_it_again(bench):
    text = bench.report([bench.run("race")], bench.machine())
    assert "| race | tortoise / hare | 1.5 | more is better |" in text
    assert "\nuv run python tools/bench/race.py --speed 1.5\n" in text


def test_a_missed_bound_is_told_beside_its_ratio(bench):
    text = bench.report([bench.run("slow race")], {})
    assert "| slow race | tortoise / hare | 0.5 |" in text
    assert "slow race ended with code 1" in text


def test_what_failed_has_no_ratios_and_is_told(bench):
    outcome = bench.run("no race")
    assert outcome.ratios == []
    assert "no race ended with code 1" in bench.report([outcome], {})


def test_one_that_fails_does_not_keep_others_from_the_table(bench):
    outcomes = [bench.run(name) for name in ("no race", "race")]
    assert "tortoise" in bench.report(outcomes, {})


def test_the_machine_is_described(bench):
    about = bench.machine()
    assert all(about.values())
    assert "torch" in about["libraries"]


def test_every_benchmark_there_is_writes_its_ratios():
    # Read, not imported: some need libraries that take long to import.
    for name in ("data", "eval", "novelty", "planner", "quant", "train"):
        text = (BENCH / f"{name}.py").read_text()
        assert "add_option(parser)" in text, name
        assert "record(" in text, name
