import json
from pathlib import Path

import pytest
import scripts
from asked import Asked, reply

from xturing.core.errors import DataError, SettingsError
from xturing.data import InstructionDataset
from xturing.selfinstruct import DocumentsConfig, from_documents
from xturing.selfinstruct.grounding import overlap
from xturing.selfinstruct.json_replies import objects

TEXT = "The harbour of Bergen was founded in 1070. It exports dried fish to Portugal."
PAIR = {"question": "When was Bergen founded?", "answer": "It was founded in 1070."}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("docs/north").mkdir(parents=True)
    Path("docs/north/bergen.txt").write_text(TEXT)
    return Path("docs")


def make(folder, *replies, **settings):
    config = DocumentsConfig(**settings)
    texts = [each if isinstance(each, str) else json.dumps(each) for each in replies]
    return from_documents(folder, Asked(map(reply, texts)), "run", config)


def rows(name="sampled_generated.jsonl"):
    return scripts.read_lines(Path("run", name))


def reasons():
    return [row["reason"] for row in rows("rejected.jsonl")]


def test_each_row_names_its_file_and_its_place(folder):
    make(folder, [PAIR])
    (row,) = rows()
    assert row["source"] == "north/bergen.txt"
    assert TEXT[row["start"] : row["end"]] == TEXT


def test_the_rows_are_a_dataset_at_once(folder):
    (record,) = make(folder, [PAIR]).dataset().records()
    assert [message.content for message in record.record.messages] == list(
        PAIR.values()
    )


def test_generated_tasks_can_be_loaded__predecessor_fault_30(folder):
    make(folder, [PAIR])
    (row,) = InstructionDataset(Path("run/generated_tasks.jsonl"))
    assert row["instruction"] == PAIR["question"]


def test_a_second_run_never_adds_to_the_first__predecessor_fault_30(folder):
    make(folder, [PAIR])
    make(folder, [PAIR])
    assert len(rows()) == len(rows("generated_tasks.jsonl")) == 1


def test_a_second_run_with_other_documents_is_refused(folder):
    make(folder, [PAIR])
    (folder / "more.txt").write_text("Something else.")
    with pytest.raises(SettingsError, match="the passages had other words"):
        make(folder, [PAIR])


def test_an_answer_that_the_passage_does_not_give_is_left_out(folder):
    false = {"question": "Who founded it?", "answer": "King Olav the Peaceful did."}
    make(folder, [PAIR, false])
    assert (len(rows()), reasons()) == (1, ["not supported by the passage"])


def test_a_question_that_is_like_an_earlier_one_is_left_out(folder):
    again = {"question": "When was Bergen founded", "answer": "In 1070."}
    make(folder, [PAIR, again])
    assert (len(rows()), reasons()) == (1, ["too similar"])


def test_a_question_is_asked_once_in_any_script(folder):
    asked = {"question": "Когда был основан Берген?", "answer": "In 1070."}
    make(folder, [asked, asked])
    assert (len(rows()), reasons()) == (1, ["asked before"])


@pytest.mark.parametrize(("said", "count"), [("Yes.", 1), ("No", 0), ("Hm", 0)])
def test_a_judge_decides_where_it_is_asked(folder, said, count):
    make(folder, [PAIR], said, check="judge")
    assert len(rows()) == count


def test_nothing_is_checked_where_nothing_is_to_be(folder):
    make(folder, [{"question": "Who founded it?", "answer": "Olav."}], check="none")
    assert len(rows()) == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"question": "What?"}, "no question or no answer"),
        ({"question": " ", "answer": "x"}, "no question or no answer"),
        ({"question": ["a"], "answer": "x"}, "no question or no answer"),
        ("I cannot.", "no JSON in the answer"),
        ("", "no JSON in the answer"),
    ],
)
def test_what_cannot_be_read_is_left_out_with_a_reason(folder, value, reason):
    make(folder, [value] if isinstance(value, dict) else value)
    assert (rows(), reasons()) == ([], [reason])


def test_a_passage_without_answers_is_no_fault(folder):
    make(folder, "[]")
    assert (rows(), reasons()) == ([], [])


def test_a_file_that_cannot_be_read_is_listed_and_the_others_used(folder):
    (folder / "broken.pdf").write_bytes(b"no pdf")
    make(folder, [PAIR])
    (left_out,) = rows("rejected.jsonl")
    assert (left_out["reason"], left_out["text"]) == (
        "a file that cannot be read",
        "broken.pdf",
    )
    assert len(rows()) == 1


def test_a_folder_without_texts_is_refused(tmp_path):
    with pytest.raises(DataError, match="No file in .* gives a text"):
        from_documents(tmp_path, Asked(), tmp_path / "run")


def test_long_texts_are_asked_about_in_passages_that_are_all_of_them(folder):
    text = " ".join(f"Sentence number {at} says little." for at in range(200))
    (folder / "north/bergen.txt").write_text(text)
    client = Asked([reply("[]")])
    config = DocumentsConfig(chunk_size=500, chunk_overlap=50)
    from_documents(folder, client, "run", config)
    prompts = "".join(request.prompt for request in client.requests)
    assert len(client.requests) > 10
    assert all(f"number {at} says" in prompts for at in range(200))


@pytest.mark.slow
def test_every_real_document_is_read_and_named(letter, tmp_path):
    folder = letter.parent
    answer = [{"question": "What is said?", "answer": "What is said."}]
    client = Asked(lambda request: reply(json.dumps(_with_words(answer, request))))
    run = from_documents(folder, client, tmp_path / "run")
    sources = {row["source"] for row in scripts.read_lines(run.dataset_file)}
    assert sources == {file.name for file in folder.iterdir()}
    parts = {
        row["part"]
        for row in scripts.read_lines(run.dataset_file)
        if row["source"] == letter.name
    }
    assert all("page" in part for part in parts)


def _with_words(answer, request):
    """Return a question and an answer in the passage's own words."""
    passage = request.prompt.partition("<passage>")[2].partition("</passage>")[0]
    words = passage.split()
    middle = len(words) // 2
    own = " ".join(words[middle : middle + 12])
    return [{"question": f"What follows from {own}?", "answer": own}]


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, {"a": 2}]',
        'Here it is:\n```json\n[{"a": 1},\n {"a": 2}]\n```\nAnything else?',
        '{"a": 1}\n{"a": 2}\n',
        '[{"a": 1}, {"a": 2}, {"a": "cut o',
        'Of {curly} braces: [{"a": 1}, {"a": 2},]',
    ],
)
def test_objects_are_found_however_they_are_wrapped(text):
    assert objects(text) == [{"a": 1}, {"a": 2}]


def test_line_feeds_inside_of_strings_are_read():
    assert objects('{"a": "b\nc"}') == [{"a": "b\nc"}]


@pytest.mark.parametrize(
    ("answer", "share"),
    [("It was founded in 1070.", 1), ("Founding: 1070", 1), ("In 1814.", 0), ("", 1)],
)
def test_support_is_the_share_of_an_answers_own_words(answer, share):
    assert overlap(answer, TEXT) == share
