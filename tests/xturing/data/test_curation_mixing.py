from collections import Counter

import pytest
from curated import law
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import DataError, SettingsError
from xturing.data import InstructionDataset, TextDataset
from xturing.data.curation import mix


def dataset(name, size):
    return InstructionDataset(
        {"instruction": [f"{name}{n}" for n in range(size)], "target": ["-"] * size}
    )


sets = st.lists(
    st.tuples(st.integers(1, 20), st.floats(0.1, 10)), min_size=1, max_size=4
)


def asked(size_weights):
    datasets = [dataset(chr(97 + n), size) for n, (size, _) in enumerate(size_weights)]
    return datasets, [weight for _, weight in size_weights]


@law
@given(given_sets=sets, seed=st.integers(), repeat=st.booleans())
def test_every_count_is_within_one_row_of_its_weight(given_sets, seed, repeat):
    datasets, weights = asked(given_sets)
    mixed, mixture = mix(datasets, weights, seed=seed, repeat=repeat)
    for share in mixture.shares:
        ideal = len(mixed) * share.weight / sum(weights)
        assert abs(share.taken - ideal) < 1 + 1e-9


@law
@given(given_sets=sets, seed=st.integers(), repeat=st.booleans())
def test_the_counts_told_are_those_of_the_rows(given_sets, seed, repeat):
    datasets, weights = asked(given_sets)
    mixed, mixture = mix(datasets, weights, seed=seed, repeat=repeat)
    counted = Counter(row["instruction"][0] for row in mixed)
    assert [counted[chr(97 + n)] for n in range(len(datasets))] == [
        share.taken for share in mixture.shares
    ]


@law
@given(given_sets=sets, seed=st.integers())
def test_no_row_is_taken_twice_unless_rows_are_repeated(given_sets, seed):
    _, mixture = mix(*asked(given_sets), seed=seed)
    assert len(set(mixture.picks)) == len(mixture.picks)


@law
@given(given_sets=sets, seed=st.integers())
def test_when_rows_are_repeated_every_row_is_taken_and_none_much_oftener(
    given_sets, seed
):
    datasets, weights = asked(given_sets)
    _, mixture = mix(datasets, weights, seed=seed, repeat=True)
    times = Counter(mixture.picks)
    for source, each in enumerate(datasets):
        counts = [times[source, row] for row in range(len(each))]
        assert min(counts) >= 1
        assert max(counts) - min(counts) <= 1


@law
@given(given_sets=sets, rows=st.integers(1, 60))
def test_a_number_of_rows_is_met_exactly(given_sets, rows):
    mixed, _ = mix(*asked(given_sets), seed=0, rows=rows, repeat=True)
    assert len(mixed) == rows


def test_picks_name_the_rows_of_the_mixture():
    datasets = [dataset("a", 5), dataset("b", 9)]
    mixed, mixture = mix(datasets, [1, 2], seed=0)
    assert [datasets[s][row] for s, row in mixture.picks] == list(mixed)
    assert [datasets[s].place(row) for s, row in mixture.picks] == [
        mixed.place(row) for row in range(len(mixed))
    ]


def test_a_mixture_follows_from_its_seed():
    def order(seed):
        return mix([dataset("a", 9), dataset("b", 9)], [1, 1], seed=seed)[1].picks

    assert order(1) == order(1) != order(2)


def test_sets_of_different_kinds_are_refused():
    with pytest.raises(DataError, match="kind 'text'.*convert"):
        mix([dataset("a", 2), TextDataset({"text": ["b"]})], [1, 1], seed=0)


def test_more_rows_than_there_are_are_refused_with_the_most_there_can_be():
    with pytest.raises(DataError, match="give 1 to 4"):
        mix([dataset("a", 2), dataset("b", 8)], [1, 1], seed=0, rows=5)


@pytest.mark.parametrize("weights", [[1], [1, 0], [1, -1], [1, float("nan")]])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(SettingsError, match="one positive weight"):
        mix([dataset("a", 2), dataset("b", 2)], weights, seed=0)
