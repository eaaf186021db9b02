import json

import pytest
from datasets import Dataset, DatasetDict

from xturing.core.errors import DataError, OutputError
from xturing.data import (
    Conversation,
    Document,
    InstructionDataset,
    TextDataset,
    open_dataset,
)

XTURING = [
    {"instruction": "Add.", "text": "1 2", "target": "3"},
    {"instruction": "Greet.", "text": "", "target": "Hello"},
]
ALPACA = [
    {"instruction": "Add.", "input": "1 2", "output": "3"},
    {"instruction": "Greet.", "input": "", "output": "Hello"},
]
CHAT = [
    {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "Bye"},
            {"role": "assistant", "content": "Bye!"},
        ]
    }
]


def write(path, rows):
    text = (
        "".join(json.dumps(row) + "\n" for row in rows)
        if path.suffix == ".jsonl"
        else json.dumps(rows)
    )
    path.write_text(text, encoding="utf-8")
    return path


def columns(rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


SOURCES = {
    "a list of rows": lambda folder, rows: rows,
    "a dict of lists": lambda folder, rows: columns(rows),
    "a json array": lambda folder, rows: write(folder / "a.json", rows),
    "a json object of lists": lambda folder, rows: write(
        folder / "b.json", columns(rows)
    ),
    "a jsonl file": lambda folder, rows: write(folder / "a.jsonl", rows),
    "a path as a string": lambda folder, rows: str(write(folder / "a.jsonl", rows)),
    "a Dataset": lambda folder, rows: Dataset.from_list(rows),
    "a DatasetDict": lambda folder, rows: DatasetDict(train=Dataset.from_list(rows)),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("rows", [XTURING, ALPACA], ids=["xturing", "alpaca"])
def test_every_source_gives_the_same_rows(source, rows, tmp_path):
    assert list(InstructionDataset(source(tmp_path, rows))) == XTURING


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source_gives_the_same_chats(source, tmp_path):
    assert list(InstructionDataset(source(tmp_path, CHAT))) == CHAT


@pytest.mark.parametrize(
    "dataset",
    [
        InstructionDataset(XTURING),
        InstructionDataset(CHAT),
        TextDataset({"text": ["one", "two"]}),
        TextDataset({"text": ["", "two"], "target": ["1", "2"]}),
    ],
    ids=["instructions", "chats", "texts", "targets"],
)
def test_what_is_saved_is_loaded_again__predecessor_fault_18(dataset, tmp_path):
    dataset.save(tmp_path / "saved")
    assert list(type(dataset)(tmp_path / "saved")) == list(dataset)


def test_saving_over_something_is_refused(tmp_path):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(OutputError):
        InstructionDataset(XTURING).save(tmp_path)


def test_an_instruction_and_its_text_are_one_question():
    record = InstructionDataset(XTURING).record(0)
    assert isinstance(record, Conversation)
    assert [(m.role, m.content) for m in record.messages] == [
        ("user", "Add.\n1 2"),
        ("assistant", "3"),
    ]


def test_an_empty_text_adds_no_line_to_the_question():
    record = InstructionDataset(XTURING).record(1)
    assert isinstance(record, Conversation)
    assert record.messages[0].content == "Greet."


def test_a_text_with_a_target_is_a_prompt_and_a_text():
    dataset = TextDataset({"text": ["in "], "target": ["out"]})
    assert dataset.record(0) == Document("out", prompt="in ")


def test_prompts_never_hold_the_answer__predecessor_fault_8():
    prompts = InstructionDataset(CHAT).prompts()
    assert prompts == [CHAT[0]["messages"][:4]]


def test_rows_decide_which_kind_of_dataset_is_opened(tmp_path):
    assert isinstance(open_dataset(ALPACA), InstructionDataset)
    assert isinstance(open_dataset(CHAT), InstructionDataset)
    assert isinstance(open_dataset({"text": ["a"]}), TextDataset)


def test_a_limit_takes_rows_from_the_start():
    assert list(open_dataset(ALPACA, limit=1)) == XTURING[:1]


def test_a_limit_spares_the_rows_behind_it_from_checks():
    assert len(open_dataset([*ALPACA, {"instruction": ""}], limit=2)) == 2


def test_a_split_is_disjoint_complete_and_follows_from_the_seed():
    dataset = InstructionDataset(
        [{"instruction": f"q{n}", "target": f"a{n}"} for n in range(30)]
    )
    kept, held_out = dataset.split(7, seed=3)
    assert sorted(row["target"] for row in [*kept, *held_out]) == sorted(
        row["target"] for row in dataset
    )
    assert len(held_out) == 7
    assert list(dataset.split(7, seed=3)[1]) == list(held_out)
    assert list(dataset.split(7, seed=4)[1]) != list(held_out)


def test_rows_of_a_split_still_know_where_they_came_from(tmp_path):
    dataset = InstructionDataset(write(tmp_path / "a.jsonl", XTURING))
    assert dataset.select([1]).place(0).endswith("a.jsonl, line 2")


BAD_ROWS = {
    "an empty answer": (
        {"instruction": "x", "text": "", "target": " "},
        "line 2, field 'target' is empty",
    ),
    "an answer that is a number": (
        {"instruction": "x", "text": "", "target": 3},
        r"line 2, field 'target': this is 3 \(int\), not a string",
    ),
    "an input that is a number": (
        {"instruction": "x", "text": 0, "target": "y"},
        "line 2, field 'text': this is 0",
    ),
    "no answer": (
        {"instruction": "x", "text": ""},
        "line 2 has no field 'target'",
    ),
    "tools that would be lost": (
        {"instruction": "x", "target": "y", "tools": ["a"]},
        "line 2 has 'tools'",
    ),
    "a row that is a list": ([1], r"line 2 is \[1\]"),
}


@pytest.mark.parametrize(("row", "message"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_wrong_row_is_named_with_file_line_and_field(row, message, tmp_path):
    file = write(tmp_path / "a.jsonl", [XTURING[0], row])
    with pytest.raises(DataError, match=rf"a\.jsonl, {message}"):
        InstructionDataset(file)


def test_a_row_of_a_json_array_is_named_by_its_number(tmp_path):
    file = write(tmp_path / "a.json", [ALPACA[0], ALPACA[1] | {"output": ""}])
    with pytest.raises(DataError, match=r"a\.json, row 2, field 'output' is empty"):
        InstructionDataset(file)


def message(**changes):
    return {"role": "user", "content": "x"} | changes


BAD_CHATS = {
    "a role that is unknown": ([message(role="bot")], "message 1 has the role 'bot'"),
    "no content": ([{"role": "user"}], "message 1 has no field 'content'"),
    "empty content": ([message(content="")], "message 1, field 'content' is empty"),
    "no answer": ([message()], "no message of the assistant"),
    "an answer to nothing": (
        [{"role": "assistant", "content": "x"}],
        "message 1 is the assistant's",
    ),
    "no messages": ([], "not a list"),
    "a string": ("hello", "not a list"),
    "a user's tool calls": ([message(tool_calls=[1])], "'tool_calls', but its role"),
}


@pytest.mark.parametrize(("messages", "error"), BAD_CHATS.values(), ids=BAD_CHATS)
def test_a_wrong_chat_is_refused_with_the_message_named(messages, error):
    with pytest.raises(DataError, match=error):
        InstructionDataset([{"messages": messages}])


def test_wrong_columns_are_listed_with_the_right_ones():
    with pytest.raises(DataError, match=r"columns 'q', 'a'.*instruction/target"):
        InstructionDataset([{"q": "x", "a": "y"}])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no file or folder .*gone\.json"):
        InstructionDataset(tmp_path / "gone.json")


@pytest.mark.parametrize(("name", "text"), [("a.json", "[]"), ("a.jsonl", "\n\n")])
def test_an_empty_file_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="holds no rows"):
        InstructionDataset(tmp_path / name)


def test_a_folder_without_a_dataset_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no saved dataset"):
        InstructionDataset(tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.xyz").write_text("x")
    with pytest.raises(DataError, match=r"a\.xyz is no data.*\.jsonl"):
        InstructionDataset(tmp_path / "a.xyz")


def test_splits_without_train_are_listed():
    splits = DatasetDict(test=Dataset.from_list(XTURING))
    with pytest.raises(DataError, match="the splits 'test' and none named 'train'"):
        InstructionDataset(splits)


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(DataError, match="different lengths"):
        InstructionDataset({"instruction": ["a", "b"], "target": ["c"]})


def test_saving_writes_nothing_to_the_terminal(tmp_path, capfd):
    InstructionDataset(XTURING).save(tmp_path / "saved")
    InstructionDataset(tmp_path / "saved")
    assert capfd.readouterr() == ("", "")
