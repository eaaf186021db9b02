import json
import subprocess
import sys

import pytest
from asked import reply, request

from xturing.core.errors import DataError, OutputError
from xturing.core.journals import sole_user
from xturing.selfinstruct.journal import Journal

KEY = request().key("m")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def written(path):
    journal = Journal(path)
    journal.note_attempt(KEY)
    journal.note_answer(KEY, request(), reply("kept"))
    return journal


def test_an_answer_is_there_for_the_next_process(path):
    written(path)
    assert Journal(path).answer(KEY) == reply("kept")


def test_attempts_of_earlier_processes_count(path):
    written(path)
    journal = Journal(path)
    journal.note_attempt(KEY)
    assert Journal(path).attempts == 2


def test_what_any_text_holds_comes_back_the_same(path):
    odd = reply("a\u2028b\n\x00\ud800é")
    Journal(path).note_answer(KEY, request("\ud800"), odd)
    assert Journal(path).answer(KEY) == odd


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_line_that_was_not_finished_is_as_if_never_begun(path, cut):
    written(path)
    whole = path.read_bytes()
    answered_at = whole.index(b"\n") + 1
    path.write_bytes(whole[: answered_at + cut])
    journal = Journal(path)
    assert (journal.answer(KEY), journal.attempts) == (None, 1)
    assert path.read_bytes() == whole[:answered_at]


def test_what_is_written_after_a_torn_line_can_be_read(path):
    written(path)
    path.write_bytes(path.read_bytes()[:-5])
    Journal(path).note_answer(KEY, request(), reply("again"))
    assert Journal(path).answer(KEY) == reply("again")


@pytest.mark.parametrize("damage", [b"{}", b"[1]", b"\xff", b'{"kind": "x"}'])
def test_a_damaged_line_is_named(path, damage):
    written(path)
    path.write_bytes(damage + b"\n" + path.read_bytes())
    with pytest.raises(DataError, match="line 1 is damaged"):
        Journal(path)


def test_the_raw_reply_is_kept_even_if_nothing_could_be_read_in_it__peer_theme_17(path):
    Journal(path).note_answer(KEY, request(), reply("{no json"))
    assert json.loads(path.read_text())["reply"]["text"] == "{no json"


def test_a_second_process_is_refused(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from xturing.core.journals import sole_user\n"
        "with sole_user(Path(sys.argv[1])): print('in', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(OutputError, match="Another process"), sole_user(tmp_path):
            pass
        other.communicate("\n")
    with sole_user(tmp_path):
        pass
