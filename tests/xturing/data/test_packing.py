import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import DataError
from xturing.core.labels import IGNORE
from xturing.data import (
    Book,
    Encoded,
    Example,
    InstructionDataset,
    Part,
    collate,
    collate_windows,
    encode,
    fit,
    pack,
)
from xturing.data.packing import best_fit

SIZE = 64


def example(length, row=0, is_divisible=False):
    parts = np.full(length, Part.ANSWER, dtype=np.uint8)
    parts[0] = Part.PROMPT
    ids = np.arange(100 * row, 100 * row + length, dtype=np.int32)
    return Example(ids, parts, row, f"row {row}", is_divisible=is_divisible)


def encoded(examples):
    book = Book()
    return Encoded(tuple(fit(examples, 10_000, "error", book)), book.ledger())


lengths = st.lists(st.integers(1, SIZE), min_size=1, max_size=60)


@given(lengths)
def test_each_row_is_in_one_window_and_no_window_is_too_full(lengths):
    windows = best_fit(lengths, SIZE)
    assert sorted(row for window in windows for row in window) == [*range(len(lengths))]
    assert all(sum(lengths[row] for row in window) <= SIZE for window in windows)


@given(lengths)
def test_no_two_windows_would_fit_in_one(lengths):
    used = sorted(sum(lengths[row] for row in w) for w in best_fit(lengths, SIZE))
    assert len(used) < 2 or used[0] + used[1] > SIZE


@given(lengths)
def test_answers_are_never_parted_from_their_prompts(lengths):
    rows = [example(length, row) for row, length in enumerate(lengths)]
    packed = pack(encoded(rows), SIZE)
    found = [each for window in packed.windows for each in window.examples]
    assert sorted(found, key=lambda each: each.row) == rows


@given(lengths)
def test_plain_texts_fill_every_window_but_the_last(lengths):
    rows = [example(n, row, is_divisible=True) for row, n in enumerate(lengths)]
    windows = pack(encoded(rows), SIZE).windows
    assert all(len(window) == SIZE for window in windows[:-1])
    ids = [each.ids for window in windows for each in window.examples]
    assert np.concatenate(ids).tolist() == [i for row in rows for i in row.ids]


@given(lengths)
def test_the_documents_of_a_window_can_be_told_apart(lengths):
    rows = [example(length, row) for row, length in enumerate(lengths)]
    packed = pack(encoded(rows), SIZE)
    batch = collate_windows(packed.windows, pad_id=0, size=SIZE)
    for line, window in enumerate(packed.windows):
        for number, each in enumerate(window.examples, start=1):
            own = batch.document_ids[line] == number
            alone = collate([each], pad_id=0)
            assert batch.input_ids[line, own].tolist() == alone.input_ids[0].tolist()
            assert batch.labels[line, own].tolist() == alone.labels[0].tolist()
            assert batch.position_ids[line, own].tolist() == [*range(len(each))]
    assert ((batch.document_ids == 0) == (batch.attention_mask == 0)).all()


def test_a_batch_of_windows_learns_what_the_windows_say():
    packed = pack(encoded([example(30, 0), example(20, 1), example(60, 2)]), SIZE)
    batch = collate_windows(packed.windows, pad_id=0)
    assert batch.supervised == packed.ledger.supervised == 29 + 19 + 59
    assert (batch.labels[batch.position_ids == 0] == IGNORE).all()


def test_a_row_longer_than_a_window_is_named():
    with pytest.raises(DataError, match="row 3 has 70 tokens, which no window of 64"):
        pack(encoded([example(70, 3)]), SIZE)


def test_real_rows_fill_their_windows(alpaca, smollm2):
    dataset = InstructionDataset(alpaca)
    tokenizer = smollm2.engine.tokenizer
    rows = encode(dataset, tokenizer, max_length=512, length_policy="keep-answer")
    assert pack(rows, 512).efficiency >= 0.97
