import os
import subprocess
import sys

import pytest
from curated import chat, law, row_lists, rows_of
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import SettingsError
from xturing.data.curation import Nearness, find_duplicates, split

SHARES = {"train": 0.7, "valid": 0.2, "test": 0.1}
nearness = st.sampled_from([None, Nearness(threshold=0.6, shingle=1)])


def sides(rows, **options):
    """Return the part of each row, by its place."""
    found = split(rows, SHARES, **options).parts
    return {rows[row].place: name for name, part in found.items() for row in part}


@law
@given(rows=row_lists, near=nearness, seed=st.integers())
def test_every_row_is_in_exactly_one_part(rows, near, seed):
    parts = split(rows, SHARES, seed=seed, near=near).parts
    assert sorted(row for part in parts.values() for row in part) == list(
        range(len(rows))
    )


@law
@given(rows=row_lists, near=nearness, data=st.data())
def test_the_order_of_the_rows_moves_none(rows, near, data):
    other = data.draw(st.permutations(rows))
    assert sides(other, seed=1, near=near) == sides(rows, seed=1, near=near)


@law
@given(rows=row_lists, more=row_lists)
def test_new_rows_move_no_old_one(rows, more):
    new = [type(row)(row.record, f"new {row.place}") for row in more]
    old = sides(rows, seed=1)
    assert sides(rows + new, seed=1).items() >= old.items()


@law
@given(rows=row_lists)
def test_duplicates_stay_together(rows):
    side = sides(rows, seed=1)
    for cluster in find_duplicates(rows).clusters:
        assert {side[copy.place] for copy in cluster.copies} == {side[cluster.place]}


def test_rows_with_one_question_stay_together():
    rows = rows_of(chat(f"Question {n % 20}?", f"answer {n}") for n in range(200))
    found = split(rows, {"train": 1, "test": 1}, seed=0)
    numbers = [{row % 20 for row in part} for part in found.parts.values()]
    assert found.groups == 20
    assert all(numbers)
    assert not numbers[0] & numbers[1]


def test_near_duplicates_stay_together_when_asked_to():
    words = [f"{n} {' '.join(f'w{n}x{k}' for k in range(30))}" for n in range(40)]
    rows = rows_of(chat(f"{w} {tail}", "ok") for w in words for tail in ("a", "b"))
    together = split(rows, {"train": 1, "test": 1}, seed=0, near=Nearness())
    assert together.groups == 40
    for part in together.parts.values():
        assert len({row // 2 for row in part}) * 2 == len(part)


def test_many_rows_that_are_alike_are_one_group():
    text = " ".join(f"word{place}" for place in range(40))
    rows = rows_of(chat(f"{text} {number}", "ok") for number in range(300))
    assert split(rows, SHARES, seed=0, near=Nearness()).groups == 1


def test_chains_of_near_duplicates_stay_together():
    letters = "abcdefghijklmnopqrstuvwxyz"
    rows = rows_of(chat(" ".join(letters[n : n + 10]), "ok") for n in range(17))
    found = split(rows, SHARES, seed=0, near=Nearness(threshold=0.8, shingle=1))
    assert found.groups == 1


def test_parts_have_about_the_shares_asked_for():
    rows = rows_of(chat(f"{n}?", "a") for n in range(5000))
    parts = split(rows, SHARES, seed=0).parts
    for name, share in SHARES.items():
        assert len(parts[name]) / 5000 == pytest.approx(share, abs=0.02)


def test_another_seed_gives_another_split():
    rows = rows_of(chat(f"{n}?", "a") for n in range(50))
    assert sides(rows, seed=1) != sides(rows, seed=2)


def test_shares_that_are_none_are_refused():
    with pytest.raises(SettingsError, match="positive share"):
        split([], {"train": 1, "test": 0}, seed=0)


CODE = """
from curated import chat, rows_of
from xturing.data import InstructionDataset
from xturing.data.curation import *
asked = [f"say {n % 7} and {n % 5} to us all" for n in range(60)]
rows = rows_of(chat(question, f"{n % 3}") for n, question in enumerate(asked))
data = InstructionDataset({"instruction": list("abcdef"), "target": list("ghijkl")})
near = Nearness(threshold=0.5)
print(split(rows, {"a": 1, "b": 1}, seed=1, near=near), find_duplicates(rows))
print(find_near_duplicates(rows, near), find_contradictions(rows))
print(gather_statistics(rows), find_contamination(rows, rows, run=3))
print(mix([data, data], [1, 2], seed=3)[1])
"""


def test_results_are_the_same_in_every_process():
    def printed(seed):
        path = os.pathsep.join(sys.path)
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}
        return subprocess.run(
            [sys.executable, "-c", CODE],
            env=environment,
            capture_output=True,
            check=True,
            text=True,
        ).stdout

    assert printed("1") == printed("2") != ""
