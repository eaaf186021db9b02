"""Every kind of source gives the same rows, whole or as a stream."""

import csv
import gzip
import io
import json
import socket
import string
import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import datasets
import pyarrow
import pytest
from backports import zstd
from datasets import Dataset, DatasetDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

from xturing.core.errors import DataError, MissingDependencyError, UnknownNameError
from xturing.data import (
    InstructionDataset,
    TextDataset,
    open_dataset,
    open_stream,
    problems,
)
from xturing.data.sources import hub as hub_source
from xturing.data.sources import json_values
from xturing.data.sources.json_values import JsonValues
from xturing.data.sources.reaching import answers

ROWS = [
    {"instruction": "Add, please.", "text": "1 2", "target": 'It is "3".\nThree.'},
    {"instruction": "Grüße 🦊", "text": "", "target": "Hello\tyou; you"},
]

quick = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
# What a file of text cannot hold: half surrogates and the zero byte.
letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(letters, max_size=20)
filled = texts.filter(str.strip)
row_lists = st.lists(
    st.fixed_dictionaries({"instruction": filled, "text": texts, "target": filled}),
    min_size=1,
    max_size=5,
)


def columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


def separated(rows, delimiter):
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


TEXTS = {
    "rows.json": json.dumps,
    "indented.json": lambda rows: json.dumps(rows, indent=2, ensure_ascii=False),
    "columns.json": lambda rows: json.dumps(columns(rows)),
    "inside.json": lambda rows: json.dumps({"data": rows}),
    "lines.json": lambda rows: "\n".join(json.dumps(row) for row in [*rows, rows[0]]),
    "rows.jsonl": lambda rows: "\n\n".join(json.dumps(row) for row in rows),
    "rows.ndjson": lambda rows: "\r\n".join(json.dumps(row) for row in rows),
    "array.jsonl": lambda rows: json.dumps(rows, indent=1),
    "rows.csv": lambda rows: separated(rows, ","),
    "semicolons.csv": lambda rows: separated(rows, ";"),
    "rows.tsv": lambda rows: separated(rows, "\t"),
    "rows": lambda rows: "\n".join(json.dumps(row) for row in [*rows, rows[0]]),
    "table.data": lambda rows: separated(rows, "|"),
}


def stream_to(table, path):
    with pyarrow.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


BINARIES = {
    "rows.parquet": parquet.write_table,
    "rows.feather": lambda table, path: feather.write_feather(table, str(path)),
    "rows.arrow": stream_to,
    "parquet.data": parquet.write_table,
}
DOUBLED = ("lines.json", "rows")
"""Names of files whose last row is the first once more, so that there are two lines."""


def text_file(folder: Path, name: str, rows) -> Path:
    path = folder / name
    path.write_bytes(TEXTS[name](rows).encode())
    return path


def instructions(path, **arguments):
    return list(InstructionDataset(path, **arguments))


@pytest.mark.parametrize("name", TEXTS)
@given(rows=row_lists)
@quick
def test_a_file_of_text_gives_the_rows_that_were_written(name, rows, tmp_path):
    expected = [*rows, rows[0]] if name in DOUBLED else rows
    assert instructions(text_file(tmp_path, name, rows)) == expected


@pytest.mark.parametrize("name", BINARIES)
@given(rows=row_lists)
@quick
def test_a_binary_file_gives_the_rows_that_were_written(name, rows, tmp_path):
    BINARIES[name](pyarrow.Table.from_pylist(rows), tmp_path / name)
    assert instructions(tmp_path / name) == rows


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.csv", "rows.tsv"])
def test_encodings_that_say_what_they_are_are_read(name, encoding, tmp_path):
    (tmp_path / name).write_bytes(TEXTS[name](ROWS).encode(encoding))
    assert instructions(tmp_path / name) == ROWS


@pytest.mark.parametrize(
    ("ending", "pack"), [(".gz", gzip.compress), (".zst", zstd.compress)]
)
@pytest.mark.parametrize("name", [name for name in TEXTS if name not in DOUBLED])
def test_packed_files_are_read_as_what_is_in_them(name, ending, pack, tmp_path):
    path = tmp_path / f"{name}{ending}"
    path.write_bytes(pack(TEXTS[name](ROWS).encode()))
    assert instructions(path) == ROWS


def test_a_packed_file_is_told_by_its_content_and_not_by_its_name(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(gzip.compress(b'{"text": "a"}'))
    (tmp_path / "b.jsonl.gz").write_bytes(b'{"text": "b"}')
    assert TextDataset(tmp_path / "a.jsonl")[0]["text"] == "a"
    assert TextDataset(tmp_path / "b.jsonl.gz")[0]["text"] == "b"


def test_without_the_extra_for_zstd_its_pip_line_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "backports.zstd", None)
    (tmp_path / "a.jsonl").write_bytes(zstd.compress(b"{}"))
    with pytest.raises(MissingDependencyError, match=r"xturing-data\[zstd\]"):
        TextDataset(tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", TEXTS)
def test_a_stream_gives_what_the_dataset_holds_and_gives_it_again(name, tmp_path):
    path = text_file(tmp_path, name, ROWS)
    dataset, stream = open_dataset(path), open_stream(path)
    assert [*stream.rows()] == [*stream.rows()] == [*dataset]
    assert [*stream.records()] == [*dataset.records()]
    assert (stream.kind, stream.origin) == (dataset.kind, dataset.origin)
    assert stream.read_as == dataset.read_as


def test_records_are_what_each_row_means_and_where_it_stands(tmp_path):
    dataset = InstructionDataset(text_file(tmp_path, "rows.jsonl", ROWS))
    assert [(placed.record, placed.place) for placed in dataset.records()] == [
        (dataset.record(index), dataset.place(index)) for index in range(len(dataset))
    ]


@given(
    st.lists(
        st.dictionaries(texts, st.integers() | st.floats(0, 1) | texts), max_size=4
    ),
    st.integers(1, 9),
)
@settings(deadline=None)
def test_an_array_is_the_same_however_it_is_cut(rows, size):
    text = json.dumps(rows, indent=1)
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    assert [*JsonValues(Path("a.json"), pieces).array()] == rows


@given(st.integers(1, 9))
@quick
def test_an_array_that_is_cut_off_anywhere_is_refused(size):
    text = json.dumps(ROWS)
    for end in range(len(text)):
        pieces = (text[at : min(at + size, end)] for at in range(0, end, size))
        with pytest.raises(DataError, match="a.json, line 1, column"):
            list(JsonValues(Path("a.json"), pieces).array())


def test_a_value_of_any_length_is_parsed_in_linear_work(monkeypatch):
    parsed = []

    class Counting(json.JSONDecoder):
        def raw_decode(self, s, idx=0):
            parsed.append(len(s))
            return super().raw_decode(s, idx)

    monkeypatch.setattr(json_values, "DECODER", Counting())
    text = json.dumps([{"text": "x" * 1_000_000}])
    pieces = (text[at : at + 1000] for at in range(0, len(text), 1000))
    list(JsonValues(Path("a.json"), pieces).array())
    assert sum(parsed) < 5 * len(text)


@pytest.mark.parametrize("name", ["big.jsonl", "big.json", "big.csv"])
def test_a_stream_takes_little_memory_whatever_the_size_of_its_file(name, tmp_path):
    path = tmp_path / name
    rows = [{"text": f"{number} " + "x" * 5000} for number in range(4_000)]
    path.write_bytes(TEXTS[name.replace("big", "rows")](rows).encode())
    size = path.stat().st_size
    tracemalloc.start()
    try:
        count = sum(1 for _ in open_stream(path).records())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 4_000
    assert peak < size / 2


BREAKS = {
    "a.jsonl": '{"text": "a"}\n' * 3 + "broken",
    "a.json": '[{"text": "a"}, {"text": "a"}, {"text": "a"}, broken',
    "a.csv": "text,id\n" + "a,1\n" * 3 + "ragged",
}


@pytest.mark.parametrize(("name", "text"), BREAKS.items(), ids=BREAKS)
def test_a_limit_spares_what_is_behind_it_from_being_read(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    assert len(open_dataset(tmp_path / name, limit=3)) == 3
    with pytest.raises(DataError):
        open_dataset(tmp_path / name)


def test_a_source_can_be_named_where_the_name_of_a_file_misleads(tmp_path):
    path = tmp_path / "table.txt"
    path.write_text("text;note\na, b, c;none\n")
    assert TextDataset(path, source="csv")[0]["text"] == "a, b, c"
    assert open_stream(path, source="csv").read_as == "a table, separated by ';'"


def test_a_wrong_source_is_answered_with_one_that_is_like_it(tmp_path):
    with pytest.raises(UnknownNameError, match="'parquet'"):
        open_dataset(tmp_path, source="parket")


def test_a_source_of_files_does_not_take_what_is_in_memory():
    with pytest.raises(DataError, match="'csv' reads files, and this is list"):
        open_dataset(ROWS, source="csv")


DOCUMENT = "One\ntwo\r\n\n\n  \nthree\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("text", [(DOCUMENT, "")]),
        ("paragraphs", [("One\ntwo", ", line 1"), ("three", ", line 6")]),
        ("lines", [("One", ", line 1"), ("two", ", line 2"), ("three", ", line 6")]),
    ],
)
def test_a_text_is_one_row_or_one_a_paragraph_or_line(source, expected, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(DOCUMENT.encode())
    dataset = TextDataset(path, source=source)
    found = [
        (row["text"], dataset.place(index).removeprefix(str(path)))
        for index, row in enumerate(dataset)
    ]
    assert found == expected


def test_a_text_is_one_document_unless_it_is_said_otherwise(tmp_path):
    (tmp_path / "a.md").write_text("# Title\n\nWords.\n")
    assert len(TextDataset(tmp_path / "a.md")) == 1


def test_a_folder_of_texts_has_a_document_a_file_in_the_order_of_names(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ["b.txt", "a.md", "deep/c.txt"]:
        (tmp_path / name).write_text(name)
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "deep" / "loop").symlink_to(tmp_path)
    dataset = TextDataset(tmp_path)
    assert [row["text"] for row in dataset] == ["a.md", "b.txt", "deep/c.txt"]
    assert dataset.place(2) == str(tmp_path / "deep/c.txt")


def test_a_folder_with_other_files_than_texts_is_refused_and_they_are_named(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.pdf").write_text("b")
    with pytest.raises(DataError, match=r"not texts alone: there is b\.pdf"):
        TextDataset(tmp_path)


@pytest.fixture
def splits(tmp_path):
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": name}))
    (tmp_path / "README.md").write_text("What this is.")
    return tmp_path


@pytest.mark.parametrize(
    ("split", "expected"),
    [(None, "train"), ("valid", "valid"), ("validation", "valid"), ("test", "test")],
)
def test_a_folder_of_splits_gives_the_one_that_is_asked_for(split, expected, splits):
    assert TextDataset(splits, split=split)[0]["text"] == expected


def test_a_split_that_is_not_there_is_answered_with_those_that_are(splits):
    with pytest.raises(DataError, match="'test', 'train', 'valid' and none.*'tset'"):
        TextDataset(splits, split="tset")


def test_a_split_of_what_has_none_is_refused(splits):
    with pytest.raises(DataError, match=r"train\.jsonl has no splits"):
        TextDataset(splits / "train.jsonl", split="valid")
    with pytest.raises(DataError, match="the list has no splits"):
        TextDataset([{"text": "a"}], split="valid")


def test_a_split_in_two_files_is_refused(splits):
    (splits / "train.csv").write_text("text\na\n")
    with pytest.raises(DataError, match=r"'train': train\.csv, train\.jsonl"):
        TextDataset(splits)


def test_a_saved_folder_gives_the_split_that_is_asked_for(tmp_path):
    parts = {name: Dataset.from_dict({"text": [name]}) for name in ("train", "test")}
    DatasetDict(parts).save_to_disk(tmp_path / "saved")
    assert TextDataset(tmp_path / "saved", split="test")[0]["text"] == "test"


def test_a_dataset_that_streams_itself_is_read():
    stream = Dataset.from_list(ROWS).to_iterable_dataset()
    assert instructions(stream) == ROWS


@pytest.fixture
def hub(monkeypatch):
    asked = []

    def load_dataset(name, config=None, *, streaming):
        asked.append((name, streaming))
        if name == "someone/nothing":
            raise ConnectionError("Couldn't reach it\nTry again")
        rows = Dataset.from_list(ROWS)
        return DatasetDict(train=rows)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub_source, "answers", lambda endpoint: True)
    return asked


def test_an_id_of_the_hub_is_fetched_where_no_file_has_its_name(hub):
    dataset = InstructionDataset("someone/rows")
    assert list(dataset) == ROWS
    assert dataset.origin == "the hub's someone/rows"
    assert hub == [("someone/rows", False)]


def test_a_few_rows_of_the_hub_are_streamed(hub):
    assert len(open_dataset("someone/rows", limit=1)) == 1
    assert hub == [("someone/rows", True)]


def test_what_the_hub_does_not_give_is_one_clear_error(hub):
    with pytest.raises(DataError, match=r"no file .*nothing.*\(Conn.*reach it\)\. Ch"):
        InstructionDataset("someone/nothing")


@pytest.fixture
def nobody():
    """An address where nobody answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def test_a_hub_that_does_not_answer_is_not_waited_for(nobody, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", nobody)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)

    def load_dataset(name, config=None, *, streaming):
        assert datasets.config.HF_HUB_OFFLINE
        raise ConnectionError(f"Couldn't reach {name}")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(
        DataError, match=rf"no dataset of.*{nobody}\) cannot be reached"
    ):
        TextDataset("someone/rows")
    assert not datasets.config.HF_HUB_OFFLINE


def test_what_was_fetched_before_is_read_when_the_hub_does_not_answer(hub, monkeypatch):
    monkeypatch.setattr(hub_source, "answers", lambda endpoint: False)
    assert instructions("someone/rows") == ROWS


def test_in_offline_mode_the_hub_is_not_asked(hub, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub_source, "answers", lambda endpoint: pytest.fail("asked"))
    assert instructions("someone/rows") == ROWS
    with pytest.raises(DataError, match="fetched before; HF_HUB_OFFLINE or"):
        TextDataset("someone/nothing")


@pytest.mark.parametrize("status", [200, 404, 503])
def test_a_hub_that_refuses_is_one_that_answers(status):
    class Refusing(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert answers(f"http://127.0.0.1:{server.server_port}")
        thread.join()


def test_a_mistaken_path_is_not_looked_for_on_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ["data/train", "other/rows.jsonl", "./a/b", "one"]:
        with pytest.raises(DataError, match=f"There is no file or folder {name}"):
            InstructionDataset(name)
    assert hub == []


def test_problems_are_those_of_all_rows_and_not_of_the_first_alone(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = ['{"text": "a"}', "{", '{"text": 1}', "[]", '{"text": "b"}', '{"text": ""}']
    path.write_text("\n".join(lines))
    found = problems(path)
    assert [message.partition(":")[0] for message in found.shown[:2]] == [
        f"{path}, line 2",
        f"{path}, line 3, field 'text'",
    ]
    assert (found.rows, found.total, len(found.shown)) == (6, 4, 4)
    assert found.shape is not None
    assert found.shape.name == "text"


def test_problems_are_counted_where_they_are_too_many_to_show(tmp_path):
    (tmp_path / "a.jsonl").write_text("broken\n" * 30)
    found = problems(tmp_path / "a.jsonl", shown=3)
    assert (found.total, len(found.shown), found.shape) == (30, 3, None)


def test_a_file_without_problems_has_none(tmp_path):
    assert problems(text_file(tmp_path, "rows.json", ROWS)).total == 0


@given(text=st.text(string.printable, max_size=40))
@quick
def test_problems_and_reading_agree_on_whether_a_file_is_good(text, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    try:
        [*open_stream(path).rows()]
    except DataError:
        assert problems(path).total
    else:
        assert not problems(path).total
