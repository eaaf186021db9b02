"""What curation says of real rows."""

import json
from itertools import combinations

import pytest
from curated import rows_of

from xturing.data import InstructionDataset
from xturing.data.curation import Nearness, find_near_duplicates
from xturing.data.curation.near import near_pairs
from xturing.data.curation.text import FOLDED, tokens


@pytest.fixture
def real_rows(alpaca):
    """Return real rows, each followed by itself with some words replaced."""
    given = json.loads(alpaca.read_text())[:150]
    columns = "instruction", "input", "output"
    rows = [{name: row[name] or "-" for name in columns} for row in given]
    both = [each for row in rows for each in (row, row | {"output": noisy(row)})]
    dataset = InstructionDataset(both)
    return rows_of(dataset.record(index) for index in range(len(dataset)))


def noisy(row):
    words = row["output"].split()
    words[::25] = ["xyz"] * len(words[::25])
    return " ".join(words)


def shingles(record):
    found = set()
    for message in record.messages:
        said = tokens(FOLDED(message.content))
        starts = range(max(len(said) - 2, 1))
        found |= {(message.role, *said[start : start + 3]) for start in starts}
    return found


def test_pairs_are_those_that_counting_every_pair_finds(real_rows):
    sets = [shingles(row.record) for row in real_rows]
    counted = {
        (a, b)
        for a, b in combinations(range(len(sets)), 2)
        if len(sets[a] & sets[b]) >= 0.6 * len(sets[a] | sets[b])
    }
    found = set(near_pairs(real_rows, Nearness(threshold=0.6)))
    assert len(counted) > 100
    assert found <= counted
    assert len(found) >= 0.99 * len(counted)


def test_real_rows_are_not_near_one_another_but_to_their_noisy_selves(real_rows):
    for cluster in find_near_duplicates(real_rows).clusters:
        assert {copy.row // 2 for copy in cluster.copies} == {cluster.row // 2}
