import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import count
from multiprocessing import active_children
from pathlib import Path

import manyfold
import pytest
import tiny
from curated import rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from xturing.core.errors import DataError
from xturing.data import (
    Conversation,
    Document,
    InstructionDataset,
    Message,
    encode,
    encode_records,
    open_dataset,
    open_stream,
)
from xturing.data.encoding import Encoder
from xturing.data.workers import CHUNKS_EACH, Workers

LONG = 10_000
TOKENIZER = tiny.tokenizer()

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
words = words.map(lambda text: f"x{text}x") | st.just("fox<|im_end|>")
conversations = st.lists(st.tuples(words, words), min_size=1, max_size=3).map(
    lambda pairs: Conversation(
        tuple(
            message
            for question, answer in pairs
            for message in (Message("user", question), Message("assistant", answer))
        )
    )
)
records = conversations | st.builds(Document, words) | st.builds(Document, words, words)


def as_values(example):
    kept = example.ids.tolist(), example.parts.tolist(), example.ids.dtype
    told = example.row, example.place, example.is_divisible, example.is_marked
    return kept, told


@pytest.fixture(scope="module")
def two():
    """Return two workers that encode three rows at once."""
    with Workers(Encoder, TOKENIZER, 2, 3) as workers:
        yield workers


@given(rows=st.lists(records, max_size=25).map(rows_of))
@settings(max_examples=60)
def test_two_processes_make_the_examples_of_one(two, rows):
    alone = [as_values(example) for example in encode_records(rows, TOKENIZER)]
    assert [as_values(example) for example in two.encoded(rows)] == alone


def test_a_dataset_is_encoded_alike_by_any_number_of_workers():
    dataset = InstructionDataset(tiny.ROWS * 30)
    alone = encode(dataset, TOKENIZER, max_length=LONG)
    together = encode(dataset, TOKENIZER, max_length=LONG, workers=2)
    assert together.ledger == alone.ledger
    assert list(map(as_values, together.examples)) == list(
        map(as_values, alone.examples)
    )


def test_a_stream_is_encoded_as_its_rows_are(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, tiny.ROWS)))
    streamed = encode(open_stream(file), TOKENIZER, max_length=LONG)
    held = encode(open_dataset(file), TOKENIZER, max_length=LONG)
    assert streamed.ledger == held.ledger
    assert list(map(as_values, streamed.examples)) == list(
        map(as_values, held.examples)
    )


def test_a_worker_s_error_names_file_and_row(tmp_path):
    file = tmp_path / "rows.jsonl"
    rows = [{"messages": turns(said)} for said in ("fox", "dog", "fox")]
    file.write_text("\n".join(map(json.dumps, rows)))
    refusal = (
        "{% if 'dog' in messages | string %}{{ raise_exception('no') }}{% endif %}"
    )
    tokenizer = tiny.tokenizer(refusal + tiny.CHATML)
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2: the chat template ref"):
        encode(open_stream(file), tokenizer, max_length=LONG, workers=2)


def turns(said):
    return [
        {"role": "user", "content": said},
        {"role": "assistant", "content": said},
    ]


@pytest.fixture
def lettering():
    with Workers(manyfold.letters, manyfold.NO_TOKENIZER, 2, 2) as workers:
        yield workers


def test_an_error_of_an_earlier_row_comes_before_one_of_reading(lettering):
    def unreadable():
        yield from manyfold.rows(["a", "b", "c", "wrong"])
        raise DataError("row 5 cannot be read.")

    with pytest.raises(DataError, match="row 4 is wrong"):
        list(lettering.encoded(unreadable()))


def test_rows_before_one_that_cannot_be_read_are_encoded(lettering):
    def unreadable():
        yield from manyfold.rows("abcd")
        raise DataError("row 5 cannot be read.")

    places = []
    with pytest.raises(DataError, match="row 5 cannot be read"):
        places += [each.place for each in lettering.encoded(unreadable())]
    with closing(lettering.encoded(unreadable())) as examples:
        assert [next(examples).row for _ in range(4)] == [0, 1, 2, 3]


def test_few_rows_are_read_ahead_of_those_that_are_taken(lettering):
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield from manyfold.rows(["a"])

    with closing(lettering.encoded(endless())) as examples:
        for taken in range(1, 30):
            next(examples)
            assert read <= taken + (CHUNKS_EACH * 2 + 1) * 2


@pytest.mark.parametrize("stop", [KeyboardInterrupt, DataError])
def test_nothing_is_left_of_workers_that_are_stopped(stop):
    before = set(active_children())
    with (
        pytest.raises(stop),
        Workers(manyfold.letters, manyfold.NO_TOKENIZER, 2, 2) as workers,
    ):
        for example in workers.encoded(manyfold.rows(map(str, count()))):
            if example.row == 10:
                raise stop
    assert set(active_children()) <= before


def test_a_worker_that_dies_is_an_error_with_the_rows_it_had():
    with (
        Workers(manyfold.death, manyfold.NO_TOKENIZER, 2, 2) as workers,
        pytest.raises(DataError, match="died while the rows from row 1 on.*workers=1"),
    ):
        list(workers.encoded(manyfold.rows("abcdefgh" * 9999)))


def test_a_worker_that_is_killed_amid_its_work_is_an_error():
    before = set(active_children())

    def endless():
        for number in count():
            yield from manyfold.rows([f"{number} " * 9999])
            if number == 20:
                (set(active_children()) - before).pop().kill()

    with (
        Workers(manyfold.letters, manyfold.NO_TOKENIZER, 2, 2) as workers,
        pytest.raises(DataError, match="A worker process died"),
    ):
        for _ in workers.encoded(endless()):
            pass


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(lambda pid: os.killpg(pid, signal.SIGINT), id="Ctrl-C"),
        pytest.param(lambda pid: os.kill(pid, signal.SIGKILL), id="killed"),
    ],
)
def test_workers_end_with_their_program(stop):
    with subprocess.Popen(
        [sys.executable, str(Path(manyfold.__file__))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    ) as program:
        assert program.stdout
        assert program.stdout.readline() == "begun\n"
        stop(program.pid)
        program.wait()
        with pytest.raises(ProcessLookupError):
            while True:
                os.killpg(program.pid, 0)
                time.sleep(0.05)


def test_no_workers_at_all_are_refused():
    with pytest.raises(DataError, match="workers=0 leaves nobody to encode. Give 1"):
        encode(InstructionDataset(tiny.ROWS), TOKENIZER, max_length=LONG, workers=0)


def test_a_tokenizer_that_cannot_be_sent_says_so():
    held = threading.Lock()
    with pytest.raises(DataError, match="a lock, cannot be sent.*Use workers=1"):
        Workers(Encoder, held, 2, 2)
