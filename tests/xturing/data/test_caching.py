import gc
import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from datetime import date

import keeping
import numpy as np
import pytest
import tiny
from curated import records, rows_of
from hypothesis import given
from hypothesis import strategies as st
from keeping import NAME, keep

from xturing.core.errors import DataError
from xturing.data import (
    Conversation,
    Document,
    InstructionDataset,
    Message,
    TextDataset,
    encode,
    open_stream,
    pack,
    spelling,
)
from xturing.data import fingerprints as fingerprints_module
from xturing.data.caching import ABANDONED_AFTER_SECONDS, MANIFEST, Cache
from xturing.data.columns import DTYPES, Columns
from xturing.data.examples import Example, Part
from xturing.data.fingerprints import Fingerprint
from xturing.data.records import Placed, ToolCall

LONG = 10_000
TOKENIZER = tiny.tokenizer()
FILES = [*DTYPES, MANIFEST]


class Counting:
    """A tokenizer that counts how often it is asked for tokens or texts."""

    def __init__(self):
        self.calls = 0

    def __getattr__(self, name):
        return getattr(TOKENIZER, name)

    def __call__(self, *arguments, **options):
        self.calls += 1
        return TOKENIZER(*arguments, **options)

    def apply_chat_template(self, *arguments, **options):
        self.calls += 1
        return TOKENIZER.apply_chat_template(*arguments, **options)


def as_values(examples):
    return [
        (
            *(each.ids.tolist(), each.parts.tolist(), each.ids.dtype, each.parts.dtype),
            *(each.row, each.place, each.is_divisible, each.is_marked),
        )
        for each in examples
    ]


examples = st.builds(
    lambda tokens, row, place, divisible, marked: Example(
        np.array(tokens, dtype=np.int32),
        np.array([Part.TEMPLATE] * len(tokens), dtype=np.uint8),
        *(row, place, divisible, marked),
    ),
    st.lists(st.integers(0, 2**31 - 1), max_size=5),
    st.integers(0, 2**40),
    st.text(st.characters(), max_size=5),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(examples, max_size=8), st.data())
def test_columns_are_the_sequence_they_were_made_of(made, data):
    columns = Columns.of(made)
    assert as_values(columns) == as_values(made)
    part = data.draw(st.slices(len(made)))
    assert as_values(columns[part]) == as_values(made[part])


@pytest.mark.parametrize(
    ("dataset", "max_length", "policy"),
    [
        (InstructionDataset(tiny.ROWS), LONG, "error"),
        (InstructionDataset(tiny.ROWS), 40, "drop"),
        (InstructionDataset(tiny.ROWS), 40, "truncate"),
        (TextDataset({"text": ["a fox", "the <|im_end|> " * 9]}), 10, "split"),
    ],
)
def test_a_cache_changes_no_example_and_no_booking(
    tmp_path, dataset, max_length, policy
):
    limits = {"max_length": max_length, "length_policy": policy}
    plain = encode(dataset, TOKENIZER, **limits)
    for _ in range(2):
        cached = encode(dataset, TOKENIZER, **limits, cache=tmp_path)
        assert as_values(cached.examples) == as_values(plain.examples)
        assert cached.ledger == plain.ledger


def test_workers_fill_a_cache_that_one_process_reads(tmp_path):
    dataset = InstructionDataset(tiny.ROWS)
    encode(dataset, TOKENIZER, max_length=LONG, workers=2, cache=tmp_path)
    tokenizer = Counting()
    encode(dataset, tokenizer, max_length=LONG, cache=tmp_path)
    assert tokenizer.calls == 0


def test_what_was_encoded_once_is_not_tokenized_again(tmp_path):
    tokenizer = Counting()
    encode(InstructionDataset(tiny.ROWS), tokenizer, max_length=LONG, cache=tmp_path)
    first = tokenizer.calls
    encode(InstructionDataset(tiny.ROWS), tokenizer, max_length=LONG, cache=tmp_path)
    assert tokenizer.calls == first


def test_use_of_the_tokenizer_changes_no_fingerprint():
    tokenizer = tiny.tokenizer()
    before = Fingerprint(tokenizer, 9, "drop").hexdigest()
    tokenizer(["a", "bcd"], padding=True, truncation=True, max_length=2)
    assert Fingerprint(tokenizer, 9, "drop").hexdigest() == before


def test_examples_of_a_cache_are_packed_as_others_are(tmp_path):
    dataset = InstructionDataset(tiny.ROWS)
    plain = pack(encode(dataset, TOKENIZER, max_length=LONG), 200)
    cached = pack(encode(dataset, TOKENIZER, max_length=LONG, cache=tmp_path), 200)
    assert cached.ledger == plain.ledger


def test_rows_that_are_refused_leave_nothing(tmp_path):
    with pytest.raises(DataError, match="more than max_length"):
        encode(InstructionDataset(tiny.ROWS), TOKENIZER, max_length=9, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def with_another_end():
    tokenizer = tiny.tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    return tokenizer


def with_another_word():
    tokenizer = tiny.tokenizer()
    tokenizer.add_tokens(["fox"])
    return tokenizer


@pytest.mark.parametrize(
    "settings",
    [
        (tiny.tokenizer(tiny.CHATML + " "), 9, "drop"),
        (with_another_end(), 9, "drop"),
        (with_another_word(), 9, "drop"),
        (tiny.tokenizer_that_adds_tokens(), 9, "drop"),
        (TOKENIZER, 10, "drop"),
        (TOKENIZER, 9, "truncate"),
    ],
    ids=["template", "end token", "vocabulary", "processor", "max_length", "policy"],
)
def test_other_settings_have_another_fingerprint(settings):
    plain = Fingerprint(TOKENIZER, 9, "drop").hexdigest()
    assert Fingerprint(*settings).hexdigest() != plain


def test_a_template_that_tells_the_date_has_a_fingerprint_a_day(monkeypatch):
    tokenizer = tiny.tokenizer("{{ strftime_now('%d') }}" + tiny.CHATML)
    seen = set()
    for day in (1, 2):
        monkeypatch.setattr(
            fingerprints_module, "_today", lambda d=day: date(2026, 1, d)
        )
        seen.add(Fingerprint(tokenizer, 9, "drop").hexdigest())
    assert len(seen) == 2


def over(rows):
    return Fingerprint(TOKENIZER, 9, "drop").over(rows)


@given(st.lists(records, max_size=4), st.lists(records, max_size=4))
def test_rows_have_one_fingerprint_if_and_only_if_they_are_equal(some, others):
    assert (over(rows_of(some)) == over(rows_of(others))) == (some == others)


TOOL = {"type": "function", "function": {"name": "look", "description": "Look."}}
CALL = ToolCall("look", {"up": 1, "down": 2})
ROW = Conversation(
    (Message("user", "a"), Message("assistant", "b", (CALL,)), Message("user", "c")),
    (TOOL,),
)


def changed(number, **values):
    messages = list(ROW.messages)
    messages[number] = replace(messages[number], **values)
    return replace(ROW, messages=tuple(messages))


@pytest.mark.parametrize(
    "other",
    [
        changed(0, role="system"),
        changed(1, is_learnt=False),
        changed(1, tool_calls=(replace(CALL, arguments={"down": 2, "up": 1}),)),
        changed(1, tool_calls=()),
        replace(ROW, tools=()),
        replace(ROW, tools=({**TOOL, "type": "other"},)),
        Document("ab"),
    ],
)
def test_no_part_of_a_row_is_missing_in_the_fingerprint(other):
    assert over([Placed(ROW, "")]) != over([Placed(other, "")])


def test_a_prompt_is_told_from_the_text_after_it():
    rows = [[Placed(Document("b", prompt="a"), "")], [Placed(Document("ab"), "")]]
    assert over(rows[0]) != over(rows[1])


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda file: os.truncate(file, file.stat().st_size - 1),
        lambda file: file.write_bytes(b""),
        lambda file: file.unlink(),
    ],
    ids=["flipped", "cut", "empty", "gone"],
)
def test_a_damaged_entry_is_none(tmp_path, file, damage):
    cache = Cache(tmp_path)
    keep(cache, 5)
    damage(tmp_path / NAME / file)
    assert cache.find(NAME) is None
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_entry_is_encoded_anew(tmp_path):
    dataset = InstructionDataset(tiny.ROWS)
    plain = encode(dataset, TOKENIZER, max_length=LONG, cache=tmp_path)
    expected = as_values(plain.examples)
    (entry,) = tmp_path.iterdir()
    (entry / "ids").write_bytes(b"x")
    cached = encode(dataset, TOKENIZER, max_length=LONG, cache=tmp_path)
    assert as_values(cached.examples) == expected


def test_a_writer_that_is_killed_leaves_nothing_that_is_trusted(tmp_path):
    with subprocess.Popen(
        [sys.executable, keeping.__file__, str(tmp_path), "forever"],
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == "begun\n"
        writer.kill()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".")
    assert len(keep(Cache(tmp_path), 5).examples) == 5


def test_the_first_of_two_drafts_stays_and_the_other_goes(tmp_path):
    cache = Cache(tmp_path)
    with cache.draft() as draft:
        draft.add([keeping.example(3)])
        first = keep(cache, 5)
        second = cache.keep(draft, NAME, first.ledger)
    assert as_values(second.examples) == as_values(first.examples)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_draft_takes_the_place_of_a_damaged_entry(tmp_path):
    cache = Cache(tmp_path)
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "ids").write_text("x")
    assert len(keep(cache, 5).examples) == 5


def test_processes_that_write_one_entry_at_once_leave_one(tmp_path):
    command = [sys.executable, keeping.__file__, str(tmp_path), "200"]
    writers = [subprocess.Popen(command) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    found = Cache(tmp_path).find(NAME)
    assert found
    assert as_values(found.examples) == as_values(map(keeping.example, range(200)))


def test_changing_an_example_changes_no_file(tmp_path):
    cache = Cache(tmp_path)
    keep(cache, 5).examples[3].ids[:] = 7
    found = cache.find(NAME)
    assert found
    assert found.examples[3].ids.tolist() == [0, 1, 2, 3]


def names(folder):
    return {path.name[0] for path in folder.iterdir()}


@pytest.fixture
def three_entries(tmp_path):
    """Return a folder with entries a, b and c, used in this order, and one's size."""
    cache = Cache(tmp_path)
    for when, letter in enumerate("abc", start=1):
        keep(cache, 5, letter * 64)
        os.utime(tmp_path / (letter * 64) / MANIFEST, (when, when))
        for file in (tmp_path / (letter * 64), *(tmp_path / (letter * 64)).iterdir()):
            os.utime(file, (when, when))
    gc.collect()
    size = sum(f.stat().st_size for f in (tmp_path / ("a" * 64)).iterdir())
    return tmp_path, size + (tmp_path / ("a" * 64)).stat().st_size


def test_entries_that_were_not_used_for_the_longest_time_make_room(three_entries):
    folder, size = three_entries
    Cache(folder).find("a" * 64)
    gc.collect()
    keep(Cache(folder, most_bytes=2 * size), 5, "d" * 64)
    assert names(folder) == {"a", "d"}


def test_an_entry_that_is_in_use_stays(three_entries):
    folder, _ = three_entries
    held = Cache(folder).find("a" * 64)
    assert held
    keep(Cache(folder, most_bytes=1), 5, "d" * 64)
    assert "a" in names(folder)
    assert len(held.examples) == 5


def test_only_entries_make_room(tmp_path):
    (tmp_path / "precious").write_text("x" * 9999)
    keep(Cache(tmp_path, most_bytes=1), 5)
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize(
    ("age", "stays"), [(0, True), (ABANDONED_AFTER_SECONDS, False)]
)
def test_drafts_that_nobody_writes_to_are_removed_in_time(tmp_path, age, stays):
    draft = tmp_path / f".{'a' * 32}.part"
    draft.mkdir()
    then = draft.stat().st_mtime - age - 60
    os.utime(draft, (then, then))
    keep(Cache(tmp_path), 5)
    assert draft.exists() == stays


def test_a_file_in_the_place_of_an_entry_is_moved_away(tmp_path):
    (tmp_path / NAME).write_text("x")
    assert len(keep(Cache(tmp_path), 5).examples) == 5


def peak(count, cache):
    def rows():
        for number in range(count):
            yield {"text": f"{number} fox dog"}, f"row {number}"

    # Files are read in pieces of a size that these rows would never fill.
    stream = open_stream([{"text": "a fox"}])
    stream = replace(stream, table=replace(stream.table, entries=rows))
    tracemalloc.start()
    try:
        encoded = encode(stream, TOKENIZER, max_length=LONG, cache=cache)
        assert len(encoded.examples) == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(spelling, "WORDS_KEPT", 500)
    _, few, many = (peak(count, tmp_path) for count in (599, 1500, 6000))
    assert many < 1.3 * few
