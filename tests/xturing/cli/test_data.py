"""`xturing data`: what is told of rows before anything is learnt from them."""

import json
import re

import pytest
import tiny
from rich.console import Console

from xturing.cli import data_encoding as command
from xturing.cli import data_stats, render
from xturing.data import open_dataset
from xturing.data.sides import sides
from xturing.models.tokenizers import open_tokenizer

WRONG = [
    {"instruction": "a", "target": "b"},
    {"instruction": "", "target": "b"},
    {"instruction": "a", "target": 3},
    {"instruction": "a"},
]


@pytest.fixture
def rows_file(tmp_path):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(tiny.ROWS))
    return file


@pytest.fixture
def model(tiny_folder):
    return ["-m", "generic", "--weights", tiny_folder]


def test_check_tells_how_rows_are_read(xturing, rows_file):
    done = xturing("data", "check", rows_file)
    assert done.code == 0
    assert "xturing, because the rows have instruction, text and target" in done.out
    assert f"All {len(tiny.ROWS)} rows are right" in done.out


def test_check_names_every_wrong_row(xturing, tmp_path):
    text = "".join(json.dumps(row) + "\n" for row in WRONG)
    (tmp_path / "rows.jsonl").write_text(text)
    done = xturing("data", "check", "rows.jsonl")
    assert done.code == 1
    errors = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert [re.search(r"line (\d)", line)[1] for line in errors] == ["2", "3", "4"]
    assert "3 of 4 rows are wrong" in done.out


def test_check_of_no_known_shape_is_one_error(xturing, tmp_path):
    (tmp_path / "rows.json").write_text('[{"colour": "red"}]')
    done = xturing("data", "check", "rows.json")
    assert (done.code, done.err.count("error:")) == (1, 1)
    assert "columns 'colour'" in done.err


def test_preview_marks_what_is_learnt_where_there_are_no_colours(
    xturing, rows_file, model
):
    done = xturing("data", "preview", rows_file, *model, "-n", 1, "--max-length", 512)
    assert done.code == 0
    first = tiny.ROWS[0]
    assert f"}}{first['instruction']}{{" in done.out
    assert f"«{first['target']}»<<|im_end|>>" in done.out
    assert done.out.count("rows.json, row") == 1


def test_preview_shows_what_lies_beyond_the_limit(xturing, rows_file, model):
    done = xturing("data", "preview", rows_file, *model, "-n", 1, "--max-length", 12)
    assert "beyond max_length=12 are" in done.out
    assert "~" in done.out.partition("row 1")[2]


def test_preview_shows_every_token_of_a_row(rows_file, tiny_folder):
    tokenizer = open_tokenizer("generic", str(tiny_folder))
    dataset = open_dataset(rows_file)
    for limit in (5, 1000):
        for _, example in sides(dataset, tokenizer):
            pieces = command.pieces(example, tokenizer, limit)
            shown = "".join(text for text, _ in pieces).replace("↵", "")
            assert shown == tokenizer.decode(example.ids.tolist())


def test_colours_take_the_place_of_marks(monkeypatch, capsys):
    console = Console(force_terminal=True, color_system="truecolor", soft_wrap=True)
    monkeypatch.setattr(render, "_console", console)
    render.inked([("words", ink) for ink in command.INKS])
    written = capsys.readouterr().out
    assert "«" not in written
    styles = re.findall(r"\x1b\[([\d;]+)m", written)
    assert len(set(styles) - {"0"}) == len(command.INKS)


def test_stats_draw_characters_without_a_model(xturing, rows_file):
    done = xturing("data", "stats", rows_file)
    assert done.code == 0
    total = sum(len(row["instruction"] + row["target"]) for row in tiny.ROWS)
    assert f"together {total:,}" in done.out
    counts = re.findall(r"^ *[\d,]+  █* ([\d,]+)$", done.out, re.MULTILINE)
    assert sum(map(int, counts)) == len(tiny.ROWS)


def test_stats_show_a_ledger_for_each_policy_that_does_not_refuse(
    xturing, rows_file, model
):
    done = xturing("data", "stats", rows_file, *model, "--max-length", 512)
    assert done.code == 0
    (headings,) = [line for line in done.out.splitlines() if "error  " in line]
    assert "drop" in headings
    (learnt,) = [line for line in done.out.splitlines() if "answers, learnt" in line]
    assert len(set(learnt.split()[2:])) == 1


def test_stats_say_why_a_policy_refuses(xturing, rows_file, model):
    done = xturing("data", "stats", rows_file, *model, "--max-length", 9)
    assert done.code == 0
    assert "length_policy=error refuses them" in done.out


@pytest.mark.parametrize(("least", "most"), [(5, 5), (0, 7), (92, 110), (3, 99_999)])
def test_bins_cover_all_lengths_with_round_numbers(least, most):
    edges = data_stats._edges(least, most)
    assert edges[0] <= least <= most < edges[-1]
    assert len(edges) <= data_stats.BINS + 3


MISTAKES = {
    "missing rows": (["check", "gone.json"], "no file or folder gone.json"),
    "an unknown model": (["preview", "rows.json", "-m", "smolm2"], "'smollm2'"),
    "a folder without a tokenizer": (
        ["preview", "rows.json", "-m", "./gone"],
        "no model folder",
    ),
}


@pytest.mark.parametrize(("options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_a_code(xturing, rows_file, options, message):
    done = xturing("data", *options)
    assert done.code == 1
    (line,) = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert message in line


def test_check_reads_columns_of_other_names(xturing, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"ask": "a", "reply": "b"}\n')
    pairs = ["--map", "instruction=ask", "--map", "target=reply"]
    assert xturing("data", "check", "rows.jsonl", *pairs).code == 0


def test_a_column_map_of_one_name_is_explained(xturing, rows_file):
    done = xturing("data", "check", rows_file, "--map", "instruction")
    assert done.code == 1
    assert "--map instruction=question" in done.err


def rows_of(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("shape", ["messages", "alpaca", "xturing", "sharegpt"])
def test_rows_converted_there_and_back_are_the_same(xturing, rows_file, shape):
    there, back = rows_file.with_name("there.jsonl"), rows_file.with_name("back.jsonl")
    assert xturing("data", "convert", rows_file, there, "--to", shape).code == 0
    assert xturing("data", "convert", there, back, "--to", "xturing").code == 0
    before, after = open_dataset(rows_file), open_dataset(back)
    records = [[placed.record for placed in each.records()] for each in (before, after)]
    assert records[0] == records[1]


def test_convert_writes_over_nothing(xturing, rows_file):
    there = rows_file.with_name("there.jsonl")
    there.write_text("mine")
    done = xturing("data", "convert", rows_file, there, "--to", "messages")
    assert (done.code, there.read_text()) == (1, "mine")


def test_a_row_that_is_wrong_leaves_no_file(xturing, tmp_path):
    text = "".join(json.dumps(row) + "\n" for row in WRONG)
    (tmp_path / "rows.jsonl").write_text(text)
    done = xturing("data", "convert", "rows.jsonl", "out.jsonl", "--to", "messages")
    assert done.code == 1
    assert "rows.jsonl, line 2" in done.err
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


def test_dedup_keeps_rows_as_they_are_and_names_the_copies(xturing, tmp_path):
    rows = [{**WRONG[0], "id": number} for number in range(3)]
    rows.append({"instruction": "other", "target": "b", "id": 3})
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text)
    done = xturing("data", "dedup", "rows.jsonl", "out.jsonl")
    assert rows_of(tmp_path / "out.jsonl") == [rows[0], rows[3]]
    assert "rows.jsonl, line 1 is kept, without rows.jsonl, line 2 (100%)" in done.out


def test_split_puts_every_row_in_one_part(xturing, tmp_path):
    rows = [{"instruction": f"question {n}", "target": "b"} for n in range(50)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text)
    assert xturing("data", "split", "rows.jsonl", "parts").code == 0
    parts = [
        rows_of(tmp_path / "parts" / f"{part}.jsonl") for part in ("train", "valid")
    ]
    assert all(parts)
    found = [row["instruction"] for part in parts for row in part]
    assert sorted(found) == sorted(row["instruction"] for row in rows)


def test_mix_takes_rows_by_weight(xturing, tmp_path):
    for name in "ab":
        row = json.dumps({"instruction": name, "target": "b"}) + "\n"
        (tmp_path / f"{name}.jsonl").write_text(row * 30)
    done = xturing("data", "mix", "out.jsonl", "a.jsonl=3", "b.jsonl=1")
    assert done.code == 0
    taken = [row["instruction"] for row in rows_of(tmp_path / "out.jsonl")]
    assert (taken.count("a"), taken.count("b")) == (30, 10)


def test_preview_shows_both_answers_of_a_preference(xturing, tmp_path, model):
    row = {"prompt": "say hello", "chosen": "hello", "rejected": "no"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    done = xturing("data", "preview", "rows.jsonl", *model)
    assert done.code == 0
    assert re.findall("line 1, (chosen|rejected): .*learnt", done.out) == [
        "chosen",
        "rejected",
    ]
    assert "«hello»" in done.out
    assert "«no»" in done.out


def test_preview_tells_whether_an_answer_is_wanted(xturing, tmp_path, model):
    row = {"prompt": "say hello", "completion": "no", "label": False}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    done = xturing("data", "preview", "rows.jsonl", *model)
    assert "line 1, not wanted: " in done.out


def test_stats_of_preferences_count_both_answers(xturing, tmp_path, model):
    row = {"prompt": "say hello", "chosen": "hello " * 9, "rejected": "no"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    done = xturing("data", "stats", "rows.jsonl", *model, "--max-length", 20)
    assert done.code == 0
    assert "1 of 2 have more than 20" in done.out


def test_preview_writes_tool_calls_with_a_template_that_has_them(
    xturing, tmp_path, model
):
    call = '{"name": "add", "arguments": {"a": 1}}'
    turns = [("human", "add"), ("function_call", call), ("observation", "2")]
    turns.append(("gpt", "It is 2."))
    row = {"conversations": [{"from": who, "value": said} for who, said in turns]}
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    chatml = ["--chat-template", "chatml"]
    done = xturing("data", "preview", "rows.json", *model, *chatml)
    assert done.code == 0
    assert '«<tool_call>↵\n{"name": ' in done.out


def test_a_template_whose_marks_are_no_tokens_is_refused(xturing, rows_file, model):
    done = xturing("data", "preview", rows_file, *model, "--chat-template", "llama3")
    assert done.code == 1
    assert "marks turns with <|end_header_id|>" in done.err


def test_another_template_for_a_saved_model_is_refused(xturing, rows_file, tiny_folder):
    done = xturing(
        *("data", "preview", rows_file, "-m", tiny_folder, "--chat-template", "chatml")
    )
    assert done.code == 1
    assert "is a saved model" in done.err
