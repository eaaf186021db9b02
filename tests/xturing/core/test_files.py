import errno
import json

import pytest

from xturing.core.errors import DataError, OutputError
from xturing.core.files import (
    draft_folder,
    fill_folder,
    free_folder,
    new_file,
    new_folder,
    read_json,
    read_jsonl,
    refuse_used,
    settle,
    write_json,
    write_text,
)


class Stopped(Exception):
    """The program was stopped."""


def test_a_stopped_write_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with pytest.raises(Stopped), new_file(file) as draft:
        draft.write_text("new")
        raise Stopped
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert file.read_text() == "old"


def test_a_stopped_folder_is_not_there(tmp_path):
    with pytest.raises(Stopped), new_folder(tmp_path / "out") as draft:
        (draft / "half").write_text("x")
        raise Stopped
    assert list(tmp_path.iterdir()) == []


def test_a_used_folder_is_refused_and_untouched(tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(OutputError, match="in use"), new_folder(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "precious"


def test_an_empty_folder_can_be_filled(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    refuse_used(folder)
    with new_folder(folder, overwrite=True) as draft:
        (draft / "a").write_text("x")
    assert (folder / "a").read_text() == "x"


def test_a_stopped_overwrite_leaves_the_old_folder(tmp_path):
    folder = tmp_path / "out"
    with new_folder(folder) as draft:
        (draft / "a").write_text("old")
    with pytest.raises(Stopped), new_folder(folder, overwrite=True) as draft:
        (draft / "a").write_text("new")
        raise Stopped
    assert (folder / "a").read_text() == "old"


def test_a_stopped_fill_adds_nothing(tmp_path):
    (tmp_path / "kept").write_text("x")
    with pytest.raises(Stopped), fill_folder(tmp_path) as draft:
        (draft / "a").write_text("x")
        raise Stopped
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_free_folder_has_the_next_number(tmp_path):
    for name in ("run", "run-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
    assert free_folder(tmp_path / "run").name == "run-3"


def test_json_round_trips(tmp_path):
    value = {"a": [1, "é", None]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value


def test_jsonl_lines_keep_their_numbers_over_blank_ones(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert list(read_jsonl(file)) == [(1, {"a": 1}), (3, {"a": 2})]


def test_broken_jsonl_names_the_line(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: this is not JSON"):
        list(read_jsonl(file))


def test_a_separator_inside_a_string_does_not_break_its_line(tmp_path):
    file = tmp_path / "a.jsonl"
    row = {"a": "one\u2028two\x85three"}
    file.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert list(read_jsonl(file)) == [(1, row)]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(file) == {"a": 1}


def test_text_that_is_not_utf8_is_named_with_its_byte(tmp_path):
    file = tmp_path / "a.json"
    file.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(DataError, match="not UTF-8 text .byte 7 is 0xff"):
        read_json(file)


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("error", FULL, ids=["system", "library"])
def test_a_full_disk_changes_nothing_and_says_what_to_do(tmp_path, error):
    folder, file = tmp_path / "out", tmp_path / "a.txt"
    write_text(file, "old")
    with new_folder(folder) as draft:
        (draft / "a").write_text("old")
    for writing in (new_file(file), new_folder(folder, overwrite=True)):
        with (
            pytest.raises(OutputError, match="full.*changed.*Free some space"),
            writing,
        ):
            raise error
    assert (file.read_text(), (folder / "a").read_text()) == ("old", "old")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "out"]


def test_other_errors_of_the_system_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), new_folder(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_draft_that_is_not_settled_is_removed(tmp_path):
    with draft_folder(tmp_path) as draft:
        (draft / "a").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_a_settled_draft_is_there_as_a_whole(tmp_path):
    with draft_folder(tmp_path) as draft:
        (draft / "a").write_text("x")
        assert settle(draft, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "a").read_text() == "x"


def test_the_first_draft_to_settle_stays(tmp_path):
    for text, is_first in (("first", True), ("second", False)):
        with draft_folder(tmp_path) as draft:
            (draft / "a").write_text(text)
            assert settle(draft, tmp_path / "out") == is_first
    assert (tmp_path / "out" / "a").read_text() == "first"
