"""Files that are broken in every way: an error that names the place, never a crash."""

import gzip
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pytest
from backports import zstd
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from xturing.core.errors import DataError
from xturing.data import open_dataset, open_stream, problems
from xturing.data.sources import delimited, unpacking
from xturing.data.sources.json_values import JsonValues

GOOD = b'{"text": "a"}\n'
DEEP = 3_000

BAD_FILES = {
    "cut.json": (b'[{"text": "a"}, {"te', "line 1, column 18.*Unterminated string"),
    "cut_between.json": (b'[{"text": "a"},\n', "line 2, column 1.*Expecting value"),
    "open.json": (b'[{"text": "a"}\n', r"line 2, column 1.*file ends where '\]'"),
    "comma.json": (b'[{"text": "a"},]', "line 1, column 16"),
    "garbage.json": (b'[{"text": "a"}] x', "column 17.*goes on after its end"),
    "word.json": (b'"text"', "holds str, not rows"),
    "number.json": (b"[12]", r"row 1 is 12, not an object"),
    "mixed.json": (b'[{"text": "a"}, ["b"]]', r"row 2 is \['b'\], not an object"),
    "two_fields.json": (
        b'{"data": [{"text": "a"}], "version": 1}',
        "field 'data' is followed by another field",
    ),
    "pretty.json": (b'{\n"text": "a"}\n{\n"text": "b"}', 'source="jsonl"'),
    "ragged_columns.json": (b'{"text": ["a"], "id": []}', "different lengths"),
    "scalar_column.json": (b'{"text": ["a"], "id": 3}', "column 'id' is int"),
    "deep.json": (b"[" * DEEP, "nested too deep"),
    "deep_row.json": (
        b'[{"text": ' + b"[" * 90 + b"]" * 90 + b"}]",
        "row 1, field 'text': this is nested more than 64 deep",
    ),
    "digits.json": (b'[{"text": ' + b"9" * 5000 + b"}]", "line 1.*digits"),
    "key_twice.json": (
        b'[{"text": "a"},\n {"text": "a", "id": 1, "text": "b"}]',
        "line 2, column 2: the key 'text' stands twice",
    ),
    "key_twice_inside.json": (
        b'[{"messages": [{"role": "user", "role": "user", "content": "a"}]}]',
        "line 1, column 2: the key 'role' stands twice",
    ),
    "column_twice.json": (b'{"text": ["a"], "text": ["b"]}', "the key 'text' stands"),
    "key_twice.jsonl": (
        GOOD + b'{"text": "a", "text": "a"}',
        "line 2: the key 'text' stands twice",
    ),
    "key_twice_inside.jsonl": (
        b'{"text": "a", "more": {"a": [{"id": 1, "id": 2}]}}',
        "line 1: the key 'id' stands twice",
    ),
    "key_twice_in_a_field.csv": (
        b'messages\n"[{""role"": ""user"", ""role"": ""tool""}]"\n',
        "line 2, field 'messages': in the JSON text .* the key 'role' stands twice",
    ),
    "cut.jsonl": (GOOD + b'{"text": ', "line 2: this is not JSON.*column 10"),
    "deep.jsonl": (b'{"text": ' + b"[" * DEEP, "line 1.*nested too deep"),
    "digits.jsonl": (b'{"text": ' + b"9" * 5000 + b"}", "line 1.*digits"),
    "mixed.jsonl": (GOOD + b'{"text": 3}', r"line 2, field 'text': this is 3 \(int\)"),
    "scalar.jsonl": (GOOD + b"3", "line 2 is 3, not an object"),
    "half.jsonl": (
        GOOD + rb'{"text": "a\ud83d"}',
        r"line 2, field 'text': this holds half of a surrogate pair \('\\ud83d'\)",
    ),
    "half_inside.jsonl": (
        rb'{"messages": [{"role": "user", "content": "\udc00"}]}',
        "line 1, field 'messages': this holds half",
    ),
    "half_name.jsonl": (rb'{"\udc00": "a"}', r"line 1, field '\\udc00': this holds"),
    "zero.jsonl": (GOOD + b'{"text": "\0"}', "line 2.*byte 24 of the file is zero"),
    "latin.jsonl": (GOOD + b'{"text": "caf\xe9"}', "line 2.*byte 27 .* is 0xe9"),
    "cut_letter.jsonl": (GOOD + b'{"text": "\xf0\x9f', "line 2.*byte 24 .* is 0xf0"),
    "utf16_without_mark.jsonl": (GOOD.decode().encode("utf-16-le"), "needs its byte o"),
    "utf32.jsonl": (GOOD.decode().encode("utf-32"), "byte 2 of the file is zero"),
    "odd_utf16.jsonl": (
        b"\xff\xfe" + GOOD.decode().encode("utf-16-le") + b"a",
        "line 2.*byte 30",
    ),
    "empty.json": (b"", "holds no rows"),
    "empty.jsonl": (b"", "holds no rows"),
    "empty.csv": (b"", "holds no rows"),
    "empty.txt": (b"", "holds no rows"),
    "blank.txt": (b" \n\t\n", "holds no rows"),
    "empty.parquet": (b"", "no whole Parquet file"),
    "empty.arrow": (b"", "no whole Arrow file"),
    "mark_alone.jsonl": (b"\xef\xbb\xbf", "holds no rows"),
    "empty_row.jsonl": (b"{}", "no columns"),
    "empty_text.jsonl": (GOOD + b'{"text": ""}', "line 2, field 'text' is empty"),
    "header_alone.csv": (b"text\n", "holds no rows"),
    "ragged.csv": (b"text,id\na,1\n\nb\n", "line 4 has 1 values and .* 2 columns"),
    "long.csv": (b"text,id\na,1,2\n", r"line 2 has 3 values.*\('text', 'id'\)"),
    "twice.csv": (b"text,text\na,b\n", "line 1 names the column 'text' twice"),
    "open.csv": (b'text,id\na,1\n"b,2\n', "line 3: the quoting is broken"),
    "open_late.csv": (
        b'text,id\n"a\nb","c\nd,1\n',
        "line 3: the quoting is broken .unexpected end",
    ),
    "open_before_a_quoted_row.csv": (
        b'text,id\n"a,1\nb,2\n"c",3\n',
        "line 2: the quoting is broken",
    ),
    "quote.csv": (b'text,id\n"a"b,1\n', "line 2: the quoting is broken"),
    "zero.csv": (b"text\na\0b\n", "line 2.*zero"),
    "ragged.tsv": (b"text\tid\na,1\n", "line 2 has 1 values"),
    "text.parquet": (b"PAR1 and nothing more PAR1", "no whole Parquet file"),
    "text.arrow": (b"ARROW1 and nothing more", "no whole Arrow file"),
    "cut.jsonl.gz": (gzip.compress(GOOD * 99)[:-9], "cannot be unpacked"),
    "damaged.jsonl.gz": (gzip.compress(GOOD)[:-8] + b"damaged!", "cannot be unpacked"),
    "cut.jsonl.zst": (zstd.compress(GOOD * 99)[:-3], "cannot be unpacked"),
    "damaged.jsonl.zst": (zstd.compress(GOOD)[:5] + b"damage", "cannot be unpacked"),
    "picture.png": (b"\x89PNG\r\n\x1a\n\0", "no data that can be read here"),
    "prose.data": (b"Just some words, and more.\nNothing else.\n", "say with source="),
}


def refusal(read: Callable[[], object]) -> str | None:
    """Return what is said of a file that cannot be read, as it would be written."""
    try:
        read()
    except DataError as error:
        return str(error).encode().decode()
    return None


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_the_place_named(name, tmp_path):
    content, message = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"(?s){name}.*({message})"):
        open_dataset(tmp_path / name)


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_has_problems(name, tmp_path):
    (tmp_path / name).write_bytes(BAD_FILES[name][0])
    assert refusal(lambda: problems(tmp_path / name)) or problems(tmp_path / name).total


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_rows_behind_one_with_a_key_twice_are_read(size):
    text = '[{"a": 1, "a": {"b": [2]}}, {"c": 3}]'
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    first, second = JsonValues(Path("a.json"), pieces).array()
    assert "a.json, line 1, column 2: the key 'a' stands twice" in str(first)
    assert second == {"c": 3}


def test_a_key_twice_is_a_problem_of_its_row_alone(tmp_path):
    twice, wrong = '{"text": "a", "text": "b"}', '{"text": 1}'
    (tmp_path / "a.json").write_text(f"[{twice}, {wrong}]")
    (tmp_path / "a.jsonl").write_text(f"{twice}\n{wrong}\n")
    for name in ("a.json", "a.jsonl"):
        assert problems(tmp_path / name).total == 2


def test_good_rows_before_a_bad_byte_are_read(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(GOOD * 3 + b"\xff")
    assert len(open_dataset(tmp_path / "a.jsonl", limit=3)) == 3


PACKERS = {"gz": gzip.compress, "zst": zstd.compress}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_a_file_that_unpacks_to_too_much_is_a_trap_until_it_is_trusted(
    pack, tmp_path, monkeypatch
):
    monkeypatch.setattr(unpacking, "ALWAYS_FINE", 1000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(pack(b'{"text": "%s"}' % (b"a" * 2**21)))
    with pytest.raises(DataError, match="looks like a trap.*max_expansion=2000"):
        open_dataset(path)
    assert len(open_dataset(path, max_expansion=100_000)) == 1


def test_a_quote_that_is_never_closed_ends_at_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "LONGEST_QUOTED", 100)
    path = tmp_path / "a.csv"
    path.write_text('text,id\na,1\n"b,2\n' + "c,3\n" * 99 + "\0")
    with pytest.raises(DataError, match=r"a\.csv, line 3: .*not closed within 100 ch"):
        open_dataset(path)


def test_a_quoted_value_of_several_lines_may_be_as_long_as_the_limit(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(delimited, "LONGEST_QUOTED", 100)
    text = "a\n" * 45
    (tmp_path / "a.csv").write_text(f'text,id\n"{text}",1\n' * 3)
    rows = open_dataset(tmp_path / "a.csv", limit=1)
    assert rows[0]["text"] == text


def test_a_line_over_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "LONGEST_LINE", 100)
    (tmp_path / "a.csv").write_text(f"text,id\n{'a' * 100},1\n")
    with pytest.raises(DataError, match="line 2: .*more than 100 characters"):
        open_dataset(tmp_path / "a.csv")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
def test_a_line_of_100_megabytes_is_one_row(name, tmp_path):
    text = "x" * 100_000_000
    row = {"a.csv": f"text,id\n{text},1\n", "a.txt": text}
    line = row.get(name) or json.dumps([{"text": text}])
    (tmp_path / name).write_text(line.strip("[]") if name == "a.jsonl" else line)
    (found,) = open_stream(tmp_path / name).rows()
    assert len(found["text"]) == len(text)


@pytest.mark.parametrize("source", ["csv", "json", "jsonl", "text", "parquet", "arrow"])
def test_a_folder_given_as_a_file_is_named(source, tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path.name}.*(folder|whole)"):
        open_dataset(tmp_path, source=source)


@pytest.mark.parametrize("source", ["saved", "splits", "folder"])
def test_a_file_given_as_a_folder_is_named(source, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(GOOD)
    with pytest.raises(DataError, match=r"a\.jsonl"):
        open_dataset(tmp_path / "a.jsonl", source=source)


@pytest.mark.parametrize("as_given", [str, Path])
def test_a_link_that_leads_nowhere_is_named(as_given, tmp_path):
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match=r"a\.jsonl is a link that leads to no file"):
        open_dataset(as_given(tmp_path / "a.jsonl"))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="no ordinary file"):
        open_dataset(tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-here/a.json", "a\0b", ""])
def test_a_name_that_no_file_can_have_is_refused(name):
    with pytest.raises(DataError):
        open_dataset(name)


def test_a_file_that_is_closed_to_us_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_bytes(GOOD)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"a\.jsonl cannot be read: Permission denied"):
        open_dataset(tmp_path / "a.jsonl")


@pytest.mark.parametrize("file", ["state.json", "dataset_info.json", "data.arrow"])
@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"features": 3}'])
def test_a_saved_folder_that_is_damaged_is_named(file, content, tmp_path):
    open_dataset([{"text": "a"}]).save(tmp_path / "saved")
    for path in (tmp_path / "saved").rglob(f"*{file[-11:]}" if "." in file else file):
        if path.name.endswith((file, ".arrow")):
            path.write_bytes(content)
    assert "saved" in (refusal(lambda: open_dataset(tmp_path / "saved")) or "saved")


def test_broken_texts_of_a_folder_are_all_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff")
    (tmp_path / "b.txt").write_bytes(b"fine")
    (tmp_path / "c.txt").write_bytes(b"")
    found = problems(tmp_path)
    assert (found.rows, found.total) == (3, 2)
    assert "a.txt, line 1: this is not UTF-8" in found.shown[0]
    assert "c.txt is empty" in found.shown[1]


def parquet_bytes() -> bytes:
    sink = pyarrow.BufferOutputStream()
    table = pyarrow.table({"text": ["a", "b" * 50], "id": [1, None]})
    parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def arrow_bytes() -> bytes:
    sink = pyarrow.BufferOutputStream()
    table = pyarrow.table({"text": ["a", "b" * 50]})
    with pyarrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@st.composite
def damaged(draw, whole: bytes):
    """Return bytes of which a piece was cut out, put in or changed."""
    start = draw(st.integers(0, len(whole)))
    end = draw(st.integers(start, min(start + 20, len(whole))))
    return whole[:start] + draw(st.binary(max_size=8)) + whole[end:]


tokens = st.sampled_from(
    [
        *'{}[],:"\n\\',
        '"text"',
        '"a"',
        "\\ud800",
        "1e",
        "tru",
        "\0",
        "é",
        "\r",
        ";",
        "\t",
    ]
)
likely = st.lists(tokens, max_size=30).map(lambda parts: "".join(parts).encode())
rows = b'[{"text": "a"}, {"text": "b", "n": [1, {"x": null}]}]'

FUZZED = {
    "a.json": st.binary() | likely | damaged(rows),
    "a.jsonl": st.binary() | likely | damaged(GOOD * 3),
    "a.csv": st.binary() | likely | damaged(b'text,id\n"a, b",1\nc,2\n'),
    "a.tsv": st.binary() | likely,
    "a.txt": st.binary() | likely,
    "a.unknown": st.binary() | likely | damaged(rows),
    "a.jsonl.gz": st.binary() | damaged(gzip.compress(GOOD * 9)),
    "a.jsonl.zst": st.binary() | damaged(zstd.compress(GOOD * 9)),
    "a.parquet": st.binary() | damaged(parquet_bytes()),
    "a.arrow": st.binary() | damaged(arrow_bytes()),
}


@pytest.mark.parametrize("name", FUZZED)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_bytes_give_rows_or_an_error_that_names_the_file(name, data, tmp_path):
    path = tmp_path / name
    path.write_bytes(data.draw(FUZZED[name]))
    message = refusal(lambda: [*open_stream(path).records()])
    assert message is None or name in message
    refusal(lambda: problems(path))


@pytest.mark.parametrize("source", ["lines", "paragraphs"])
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(content=likely)
@example(content=zlib.compress(b"a"))
def test_any_text_is_cut_or_refused(source, content, tmp_path):
    (tmp_path / "a.txt").write_bytes(content)
    path = tmp_path / "a.txt"
    message = refusal(lambda: [*open_stream(path, source=source).rows()])
    assert message is None or "a.txt" in message
