"""What is recorded for tests, and the rows that are written to show what there is."""

import json

import pytest
import record_golden
import write_sample

from xturing.data import open_dataset


@pytest.mark.parametrize("name", record_golden.GOLDENS)
def test_what_was_recorded_is_what_there_is(name):
    assert record_golden.GOLDENS[name].difference() == ""


def test_a_change_is_told_line_by_line_and_nothing_written(tmp_path):
    file = tmp_path / "recorded.txt"
    file.write_text("one\ntwo\n")
    golden = record_golden.Golden(file, lambda _: "one\nthree\n")
    assert {"-two", "+three"} <= set(golden.difference().splitlines())
    assert file.read_text() == "one\ntwo\n"


def test_what_was_never_recorded_is_all_new(tmp_path):
    golden = record_golden.Golden(tmp_path / "none", lambda _: "one\n")
    assert "+one" in golden.difference()


def test_numbers_stand_on_one_line_and_are_the_same():
    value = {"ids": [1, 22, 333], "text": "[ 1,\n 2 ]", "none": [], "deep": [[4], [5]]}
    text = record_golden.as_json(value)
    assert json.loads(text) == value
    assert '"ids": [1, 22, 333]' in text


@pytest.mark.parametrize("kind", write_sample.KINDS)
def test_rows_of_every_kind_are_read_without_a_word_of_what_they_are(kind, tmp_path):
    rows = [write_sample.KINDS[kind](row) for row in write_sample.tickets(20, seed=1)]
    write_sample.write(tmp_path / "rows.jsonl", rows)
    dataset = open_dataset(tmp_path / "rows.jsonl")
    expected = {
        "instructions": "InstructionDataset",
        "chats": "InstructionDataset",
        "preferences": "PreferenceDataset",
        "judgements": "JudgementDataset",
    }
    assert (type(dataset).__name__, len(dataset)) == (expected[kind], 20)


def test_an_answer_that_is_not_preferred_differs_in_its_issue_alone():
    for row in write_sample.tickets(50, seed=2):
        found = write_sample.preference(row)
        right, wrong = json.loads(found["chosen"]), json.loads(found["rejected"])
        assert [key for key in right if right[key] != wrong[key]] == ["issue"]


def test_verdicts_are_right_about_their_answers():
    rows = write_sample.tickets(50, seed=3)
    verdicts = []
    for row in rows:
        found = write_sample.judgement(row)
        assert found["label"] == (found["completion"] == row["target"])
        verdicts.append(found["label"])
    assert {True, False} == set(verdicts)
