import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.labels import IGNORE
from xturing.data import Example, Ledger, Part, collate, plan_epoch

lengths_lists = st.lists(st.integers(2, 500), min_size=1, max_size=120)
sizes = st.integers(1, 9)


def example(length: int, row: int = 0) -> Example:
    parts = np.full(length, Part.PROMPT, dtype=np.uint8)
    parts[-2:] = Part.ANSWER, Part.END
    parts[0] = Part.TEMPLATE
    return Example(np.arange(5, 5 + length, dtype=np.int32), parts, row)


def rows_of(step):
    return [row for rows in step.micro_batches for row in rows]


@given(lengths_lists, sizes, sizes, st.integers(0, 99))
def test_each_row_is_learnt_once_an_epoch(lengths, batch_size, accumulation, seed):
    steps = plan_epoch(
        lengths, batch_size=batch_size, accumulation=accumulation, seed=seed
    )
    rows = [row for step in steps for row in rows_of(step)]
    assert sorted(rows) == list(range(len(lengths)))


@given(lengths_lists, st.integers(0, 99))
def test_what_shares_a_step_does_not_depend_on_micro_batches(lengths, seed):
    def steps(batch_size, accumulation):
        plan = plan_epoch(
            lengths, batch_size=batch_size, accumulation=accumulation, seed=seed
        )
        return [rows_of(step) for step in plan]

    assert steps(8, 1) == steps(1, 8) == steps(2, 4)


def test_the_order_follows_from_seed_and_epoch():
    lengths = list(range(2, 60))

    def order(seed, epoch):
        return plan_epoch(lengths, batch_size=4, seed=seed, epoch=epoch)

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_rows_of_like_length_go_together():
    lengths = [10, 200] * 40
    steps = plan_epoch(lengths, batch_size=8, seed=0)
    for step in steps:
        (rows,) = step.micro_batches
        assert len({lengths[row] for row in rows}) == 1


def test_a_short_step_comes_last():
    steps = plan_epoch([5] * 10, batch_size=2, accumulation=2, seed=0)
    assert [len(rows_of(step)) for step in steps] == [4, 4, 2]


def test_padding_is_told_by_its_place_and_never_learnt():
    end_id = int(example(5).ids[-1])
    batch = collate([example(5), example(3)], pad_id=end_id)
    assert batch.attention_mask.tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert batch.labels[0, 4] == end_id
    assert batch.labels[1, 3:].tolist() == [IGNORE, IGNORE]
    assert (batch.supervised, batch.padding) == (4, 2)


def test_an_example_whose_first_token_would_be_learnt_is_refused():
    parts = np.full(3, Part.ANSWER, dtype=np.uint8)
    with pytest.raises(ValueError, match="first token"):
        Example(np.zeros(3, dtype=np.int32), parts, 0)


def test_a_ledger_that_does_not_add_up_cannot_be_made():
    with pytest.raises(ValueError, match="does not add up"):
        Ledger(rows=1, tokens=10, answer=3, prompt=6)


def test_padding_is_booked_on_top_and_only_once():
    ledger = Ledger(rows=1, tokens=9, answer=3, prompt=6).padded(5).padded(2)
    assert (ledger.tokens, ledger.padding) == (11, 2)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 100))
def test_no_micro_batch_has_more_tokens_than_allowed_unless_one_row_has(
    lengths, tokens
):
    plan = plan_epoch(lengths, batch_size=8, seed=0, micro_batch_tokens=tokens)
    parts = [part for step in plan for part in step.micro_batches]
    assert sorted(row for part in parts for row in part) == list(range(len(lengths)))
    for part in parts:
        padded = len(part) * max(lengths[row] for row in part)
        assert padded <= tokens or len(part) == 1


def test_a_row_is_not_left_alone_where_another_can_join_it():
    (step,) = plan_epoch([10] * 7, batch_size=7, seed=0, micro_batch_tokens=30)
    assert [len(part) for part in step.micro_batches] == [3, 2, 2]


def test_the_rows_of_a_step_are_the_same_however_they_are_divided():
    lengths = list(range(5, 55))

    def steps(tokens):
        plan = plan_epoch(lengths, batch_size=8, seed=0, micro_batch_tokens=tokens)
        return [{row for part in each.micro_batches for row in part} for each in plan]

    assert steps(None) == steps(30) == steps(1000)
