"""What tasks ask: bundled ones, users' own, examples before questions, plain data."""

import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from operator import add, mul, sub, truediv
from pathlib import Path

import datasets
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import DataError, SettingsError, UnknownNameError
from xturing.data import (
    InstructionDataset,
    JudgementDataset,
    PreferenceDataset,
    TextDataset,
)
from xturing.data.records import Conversation, Document, Message
from xturing.data.sources import hub as hub_source
from xturing.eval.questions import Question
from xturing.eval.tasks import (
    Task,
    automatic_metrics,
    bundled_tasks,
    dataset_version,
    open_task,
    questions_of,
    questions_of_dataset,
)

ON_THE_HUB = "arc_challenge arc_easy boolq gsm8k hellaswag piqa".split()
WRITTEN_HERE = "arithmetic common_sense general_text sentiment tickets".split()
CAPITALS = [
    {"country": country, "capital": capital}
    for country, capital in (
        ("France", "Paris"),
        ("Italy", "Rome"),
        ("Japan", "Tokyo"),
        ("Kenya", "Nairobi"),
        ("Peru", "Lima"),
    )
]
OWN = {
    "name": "own",
    "version": 1,
    "description": "Own.",
    "data": "rows.jsonl",
    "source": "jsonl",
    "target": "capital",
}
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "The capital of {{ country }}?"},
]


def task(**fields) -> Task:
    """Return a task about capitals."""
    asked = {} if "messages" in fields else {"prompt": "{{ country }}:"}
    return Task(**OWN | asked | fields)


def asked(folder: Path, rows=CAPITALS, *, limit=None, seed=0, **fields):
    """Return the questions of a task over rows."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(lines)
    return questions_of(task(folder=folder, **fields), limit=limit, seed=seed)


def only(folder: Path, row, **fields) -> Question:
    """Return the question of a single row."""
    return asked(folder, [row], **fields)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that all examples of a law share."""
    return tmp_path_factory.mktemp("tasks")


# Bundled tasks.


def test_tasks_load_without_torch_and_datasets():
    code = (
        "import sys; from xturing.eval.tasks import bundled_tasks; bundled_tasks(); "
        "print({'torch', 'transformers', 'datasets'} & set(sys.modules))"
    )
    found = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert found == "set()\n"


def test_bundled_tasks_come_in_the_order_of_their_names():
    names = [each.name for each in bundled_tasks()]
    assert names == sorted([*ON_THE_HUB, *WRITTEN_HERE])


@pytest.mark.parametrize("name", [*ON_THE_HUB, *WRITTEN_HERE])
def test_a_bundled_task_opens_by_its_name(name):
    assert open_task(name).name == name


@pytest.mark.parametrize("name", [*ON_THE_HUB, *WRITTEN_HERE])
def test_a_bundled_task_says_whether_it_needs_the_hub(name):
    assert ("Needs the hub." in open_task(name).description) == (name in ON_THE_HUB)


@pytest.mark.parametrize("name", [*ON_THE_HUB, *WRITTEN_HERE])
def test_a_bundled_task_says_where_its_rows_are_from(name):
    assert open_task(name).licence
    assert open_task(name).source_note


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("arithmetic", 48),
        ("common_sense", 48),
        ("general_text", 20),
        ("sentiment", 48),
        ("tickets", 32),
    ],
)
def test_no_two_questions_of_a_bundled_task_are_alike(name, rows):
    questions = questions_of(open_task(name))
    asked = {json.dumps(dict(each.fields), sort_keys=True) for each in questions}
    assert len(asked) == len(questions) == rows


@pytest.mark.parametrize("name", WRITTEN_HERE)
def test_each_question_of_a_bundled_task_has_a_record_for_its_loss(name):
    assert all(each.record is not None for each in questions_of(open_task(name)))


def test_the_right_answers_of_common_sense_are_evenly_spread():
    right = Counter(each.right for each in questions_of(open_task("common_sense")))
    assert right == dict.fromkeys(range(4), 12)


def test_the_length_of_an_answer_of_common_sense_does_not_betray_it():
    # By chance 12 of the 48 would be the longest, and 12 the shortest.
    ends = Counter()
    for question in questions_of(open_task("common_sense")):
        lengths = [len(choice) for choice in question.choices]
        right = lengths.pop(question.right)
        ends["longest"] += right > max(lengths)
        ends["shortest"] += right < min(lengths)
    assert all(5 <= count <= 15 for count in ends.values())


def test_no_choice_of_common_sense_stands_twice():
    questions = questions_of(open_task("common_sense"))
    assert all(len(set(each.choices)) == 4 for each in questions)


def test_the_answers_of_arithmetic_add_up():
    signs = {"+": add, "-": sub, "*": mul, "/": truediv}
    for question in questions_of(open_task("arithmetic")):
        reasoning, result = question.reference.split(" #### ")
        steps = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", reasoning)
        for left, sign, right, found in steps:
            assert signs[sign](int(left), int(right)) == int(found), reasoning
        assert steps[-1][-1] == result


def test_the_answers_of_tickets_are_objects_with_what_the_ticket_says():
    for question in questions_of(open_task("tickets")):
        found = json.loads(question.reference)
        assert list(found) == ["customer", "order", "product", "issue", "urgent"]
        for field in ("customer", "order", "product"):
            assert found[field] in question.prompt[-1]["content"]


def test_the_issues_of_tickets_are_evenly_spread():
    references = [each.reference for each in questions_of(open_task("tickets"))]
    issues = Counter(json.loads(each)["issue"] for each in references)
    assert issues == dict.fromkeys(("damaged", "defective", "late", "wrong_item"), 8)


def test_the_labels_of_sentiment_are_evenly_spread():
    labels = Counter(each.reference for each in questions_of(open_task("sentiment")))
    assert labels == dict.fromkeys(("negative", "neutral", "positive"), 16)


@pytest.mark.parametrize("seed", range(5))
def test_sentiment_shows_an_example_of_each_label(seed):
    prompt = questions_of(open_task("sentiment"), limit=1, seed=seed)[0].prompt
    shown = re.findall(r"neutral\): (\w+)", prompt)
    assert sorted(shown) == ["negative", "neutral", "positive"]


def test_general_text_has_words_enough_and_nothing_before_them():
    questions = questions_of(open_task("general_text"))
    assert sum(len(each.record.text.split()) for each in questions) >= 1500
    assert {each.prompt for each in questions} == {""}


# What the columns of these datasets are, on the hub; the rows are made up.
HUB_ROWS = {
    "arc_easy": (
        {
            "id": "x",
            "question": "Which is warm?",
            "choices": {"text": ["ice", "fire", "snow"], "label": ["1", "2", "3"]},
            "answerKey": "2",
        },
        "Question: Which is warm?\nAnswer:",
        " fire",
    ),
    "boolq": (
        {"question": "is ice warm", "answer": False, "passage": "Ice is cold."},
        "Ice is cold.\nQuestion: is ice warm?\nAnswer:",
        " no",
    ),
    "hellaswag": (
        {
            "activity_label": "Skating",
            "ctx_a": "A girl ties her skates. [step] She gets up.",
            "ctx_b": "she",
            "ctx": "A girl ties her skates. [step] She gets up. she",
            "endings": ["eats it.", "glides off.", "Sits [title] It rains.", "swims."],
            "label": "2",
        },
        "Skating: A girl ties her skates. She gets up. She",
        " Sits. It rains.",
    ),
    "piqa": (
        {"goal": "Cool tea", "sol1": "Boil it.", "sol2": "Let it stand.", "label": 1},
        "Question: Cool tea\nAnswer:",
        " Let it stand.",
    ),
    "gsm8k": (
        {"question": "What is 1 + 1?", "answer": "It is 2.\n#### 2"},
        "Question: What is 1 + 1?\nAnswer:",
        " It is 2.\n#### 2",
    ),
}
HUB_ROWS["arc_challenge"] = HUB_ROWS["arc_easy"]


@pytest.mark.parametrize("name", ON_THE_HUB)
def test_a_task_of_the_hub_goes_with_the_columns_there(name, tmp_path):
    row, prompt, right = HUB_ROWS[name]
    there = open_task(name)
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    there.folder, there.data = tmp_path, "rows.jsonl"
    there.data_config = there.split = there.few_shot_split = None
    there.few_shot = 0
    [question] = questions_of(there)
    assert question.record == Document(right, prompt=prompt)
    assert not question.choices or question.choices[question.right] == right


@pytest.fixture
def hub(monkeypatch):
    """What the hub is asked for; it has three rows in each split."""
    fetched = []

    def load_dataset(name, config, *, streaming):
        fetched.append((name, config, streaming))
        if config == "nothing":
            raise ValueError("BuilderConfig 'nothing' not found")
        splits = {}
        for split in ("train", "test"):
            rows = [{"country": f"{split} {n}", "capital": "x"} for n in range(3)]
            splits[split] = datasets.Dataset.from_list(rows)
        return datasets.DatasetDict(splits)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub_source, "answers", lambda endpoint: True)
    return fetched


def test_a_configuration_of_a_dataset_of_the_hub_is_asked_for(hub):
    there = task(data="some/rows", source="hub", data_config="main", split="test")
    place = questions_of(there)[0].place
    assert place == "the hub's some/rows (main), split 'test', row 1"
    assert hub == [("some/rows", "main", False)]


def test_only_the_rows_that_are_asked_are_fetched(hub):
    questions_of(task(data="some/rows", source="hub", data_config="main"), limit=1)
    assert hub == [("some/rows", "main", True)]


def test_examples_are_from_the_split_that_is_named(hub):
    there = task(
        data="some/rows", source="hub", data_config="main", split="test", few_shot=2
    )
    there.few_shot_split = "train"
    for question in questions_of(there):
        assert question.prompt.count("train") == 2
        assert question.prompt.count("test") == 1


def test_a_configuration_that_is_not_there_is_one_clear_error(hub):
    with pytest.raises(
        DataError, match=r"no file or folder some/rows.*'nothing' not found\)\. Ch"
    ):
        questions_of(task(data="some/rows", source="hub", data_config="nothing"))


# Opening.


def own_file(folder: Path, **fields) -> Path:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(OWN | {"prompt": "{{ country }}:"} | fields))
    return path


def test_a_task_by_path_reads_the_data_beside_it(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # A file of the same name where the user stands is another one.
    (elsewhere / "rows.jsonl").write_text('{"country": "Chad", "capital": "Lagos"}')
    monkeypatch.chdir(elsewhere)
    (tmp_path / "rows.jsonl").write_text(json.dumps(CAPITALS[0]))
    [question] = questions_of(open_task(own_file(tmp_path)))
    assert question.prompt == "France:"
    assert question.place == f"{tmp_path / 'rows.jsonl'}, line 1"


def test_data_that_is_not_beside_the_task_is_missed_there(tmp_path):
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "rows.jsonl"))):
        questions_of(open_task(own_file(tmp_path)))


def test_an_unknown_field_gets_the_nearest_name(tmp_path):
    with pytest.raises(SettingsError, match=r"own\.yaml: .*'promt'.*mean 'prompt'\?"):
        open_task(own_file(tmp_path, promt="x"))


def test_an_unknown_metric_gets_the_nearest_name(tmp_path):
    with pytest.raises(SettingsError, match="no metric 'rogue'.*mean 'rouge'"):
        open_task(own_file(tmp_path, metrics=["rogue"]))


def test_an_unknown_field_of_a_message_gets_the_nearest_name():
    with pytest.raises(SettingsError, match="no setting 'rolle'.*mean 'role'"):
        task(messages=[{"rolle": "user", "content": "x"}])


def test_an_unknown_task_gets_close_names():
    with pytest.raises(UnknownNameError, match="'sentimant'.*mean 'sentiment'"):
        open_task("sentimant")


@pytest.mark.parametrize("reference", ["no/such.yaml", "such.yml", Path("such")])
def test_a_path_that_leads_nowhere_is_an_error_of_data(reference):
    with pytest.raises(DataError, match="There is no file .*such"):
        open_task(reference)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"prompt": "x", "messages": CHAT}, "exactly one"),
        ({"prompt": None}, "exactly one"),
        ({"version": 0}, "version is 0"),
        ({"samples": 4}, "need a temperature"),
        ({"choices": ["a", "b"]}, "choices need 'right'"),
        ({"right": "label"}, "choices need 'right'"),
        ({"few_shot": 1, "target": None}, "need a 'target'"),
        ({"metrics": [{"rouge": {}, "bleu": {}}]}, "a metric with options"),
        ({"prompt": "{{ country"}, "no Jinja template"),
        ({"messages": CHAT[:1]}, "has to be the user's"),
    ],
)
def test_what_does_not_go_together_is_refused(fields, problem):
    with pytest.raises(SettingsError, match=problem):
        task(**fields)


def test_samples_are_refused_without_a_temperature_when_they_are_set_later():
    later = task(samples=4, temperature=0.7)
    with pytest.raises(SettingsError, match="need a temperature"):
        later.temperature = None


def test_metrics_have_their_options_by_name():
    found = task(metrics=["loss", {"rouge": {"stemming": True}}]).metric_options
    assert found == {"loss": {}, "rouge": {"stemming": True}}


# Rows in the words of a task.


def test_a_raw_prompt_makes_a_document(tmp_path):
    question = only(tmp_path, CAPITALS[0])
    assert question.record == Document(" Paris", prompt="France:")
    assert (question.prompt, question.reference) == ("France:", "Paris")


def test_a_chat_makes_a_conversation(tmp_path):
    question = only(tmp_path, CAPITALS[0], messages=CHAT)
    said = ("system", "Be brief."), ("user", "The capital of France?")
    assert question.prompt == [{"role": role, "content": text} for role, text in said]
    answer = Message("assistant", "Paris")
    expected = (*(Message(role, text) for role, text in said), answer)
    assert question.record == Conversation(expected)


def test_without_a_target_there_is_no_reference(tmp_path):
    question = only(tmp_path, CAPITALS[0], target=None)
    assert question.reference is question.record is None


def test_a_text_that_follows_nothing_has_no_reference(tmp_path):
    question = only(tmp_path, {"text": "Once."}, prompt="", target="text")
    assert question.record == Document("Once.")
    assert question.reference is None


@pytest.mark.parametrize(
    ("target", "reference"),
    [
        ("answer", "ten"),
        ("It is {{ answer }}.", "It is ten."),
        ("number + 1", "11"),
        ("all", "10"),
        ("object", '{"n": 10}'),
        ("two words", "yes"),
        ("row['two words']", "yes"),
    ],
)
def test_a_target_is_a_column_an_expression_or_a_template(target, reference, tmp_path):
    row = {
        "answer": "ten",
        "number": 10,
        "all": ["10", "ten"],
        "object": {"n": 10},
        "two words": "yes",
    }
    assert only(tmp_path, row, prompt="?", target=target).reference == reference


@pytest.mark.parametrize("key", [1, "1 + 0", "number", "letter", "text", "is_second"])
def test_what_is_right_is_told_in_any_way(key, tmp_path):
    row = {
        "options": ["red", "blue"],
        "number": 1,
        "letter": "B",
        "text": "blue",
        "is_second": True,
    }
    fields = {"prompt": "?", "target": None, "choices": "options", "right": key}
    question = only(tmp_path, row, **fields)
    assert (question.right, question.reference) == (1, "blue")
    assert question.choices == (" red", " blue")


@pytest.mark.parametrize("key", [2, -1, "C", "green", None, 1.0])
def test_what_is_right_has_to_be_among_the_choices(key, tmp_path):
    fields = {"prompt": "?", "target": None, "choices": ["red", "blue"]}
    with pytest.raises(DataError, match=r"line 1: the task's 'right' comes to"):
        only(tmp_path, {"key": key}, **fields, right="key")


@pytest.mark.parametrize("choices", ["word", "one", "missing"])
def test_choices_have_to_be_a_list_of_some(choices, tmp_path):
    row = {"word": "red", "one": ["red"]}
    fields = {"prompt": "?", "target": None, "choices": choices, "right": 0}
    with pytest.raises(DataError, match="line 1: the task's 'choices'"):
        only(tmp_path, row, **fields)


@pytest.mark.parametrize(
    "field",
    [
        {"prompt": "{{ contry }}"},
        {"target": "contry"},
        {"target": "{{ contry | upper }}"},
        {"messages": [{"role": "user", "content": "{{ contry }}"}]},
    ],
)
def test_a_missing_column_is_named_with_its_place_and_near_names(field, tmp_path):
    with pytest.raises(
        DataError,
        match=rf"rows\.jsonl, line 1: the task's '{next(iter(field))}' .*'contry'.*"
        "Did you mean 'country'",
    ):
        asked(tmp_path, **field)


@pytest.mark.parametrize("target", ["capital", "{{ capital }}"])
def test_a_null_is_not_written_out(target, tmp_path):
    with pytest.raises(DataError, match=r"line 2: the task's 'target'"):
        asked(tmp_path, [CAPITALS[0], {"country": "x", "capital": None}], target=target)


@pytest.mark.parametrize(
    "template",
    ["{{ country.__class__.__mro__ }}", "{{ range(10 ** 9) | list }}", "{{ 1 // 0 }}"],
)
def test_a_template_cannot_get_out_of_its_sandbox(template, tmp_path):
    with pytest.raises(DataError, match="line 1: the task's 'prompt' does not go"):
        only(tmp_path, CAPITALS[0], prompt=template)


def test_the_fields_are_the_row_as_it_stands(tmp_path):
    assert [each.fields for each in asked(tmp_path)] == CAPITALS


@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 3))
def test_a_limit_takes_the_first_questions(folder, limit, few_shot, seed):
    everything = asked(folder, few_shot=few_shot, seed=seed)
    first = asked(folder, few_shot=few_shot, seed=seed, limit=limit)
    assert first == everything[:limit]


def test_a_limit_that_leaves_nothing_is_refused(tmp_path):
    with pytest.raises(DataError, match="limit of 0"):
        asked(tmp_path, limit=0)


def test_data_without_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no rows"):
        asked(tmp_path, [])


# Examples.


@given(st.lists(st.sampled_from("abcdef"), min_size=1), st.integers(0, 99))
def test_a_row_is_never_its_own_example(folder, letters, seed):
    # Letters that are drawn twice are rows that stand twice in the data.
    rows = [{"country": letter, "capital": letter} for letter in [*letters, *"xyz"]]
    for question in asked(folder, rows, few_shot=2, seed=seed):
        *examples, own = question.prompt.split("\n\n")
        assert len(examples) == 2
        assert own not in [example.partition(" ")[0] for example in examples]


@given(st.integers(0, 99))
def test_which_rows_are_examples_follows_from_the_seed(folder, seed):
    once = asked(folder, few_shot=3, seed=seed)
    again = asked(folder, few_shot=3, seed=seed)
    assert once == again


def test_another_seed_chooses_other_examples(tmp_path):
    prompts = {asked(tmp_path, few_shot=2, seed=seed)[0].prompt for seed in range(9)}
    assert len(prompts) > 1


def test_examples_stand_before_a_raw_prompt(tmp_path):
    rows = [CAPITALS[0], CAPITALS[1]]
    first = asked(tmp_path, rows, few_shot=1)[0]
    assert first.record == Document(" Paris", prompt="Italy: Rome\n\nFrance:")


def test_examples_of_a_chat_come_after_its_system_message(tmp_path):
    first = asked(tmp_path, CAPITALS[:2], few_shot=1, messages=CHAT)[0]
    assert first.prompt == [
        CHAT[0],
        {"role": "user", "content": "The capital of Italy?"},
        {"role": "assistant", "content": "Rome"},
        {"role": "user", "content": "The capital of France?"},
    ]


def test_the_loss_is_taken_of_the_answer_alone(tmp_path):
    first = asked(tmp_path, CAPITALS[:2], few_shot=1, messages=CHAT)[0]
    learnt = [turn.content for turn in first.record.messages if turn.learns]
    assert learnt == ["Paris"]


def test_examples_are_from_the_data_that_is_named(tmp_path):
    (tmp_path / "shown.csv").write_text("country,capital\nChad,Ndjamena\n")
    fields = {"few_shot": 1, "few_shot_data": "shown.csv"}
    for question in asked(tmp_path, **fields):
        assert question.prompt.startswith("Chad: Ndjamena\n\n")


def test_too_few_rows_for_the_examples_are_an_error(tmp_path):
    with pytest.raises(DataError, match="line 1: there are 4 other rows for the 5"):
        asked(tmp_path, few_shot=5)


# Data without a task.


def test_the_last_answer_of_a_conversation_is_right():
    turns = ("user", "1?"), ("assistant", "One."), ("user", "2?"), ("assistant", "Two.")
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    [question] = questions_of_dataset(InstructionDataset([row]))
    assert question.reference == "Two."
    assert question.prompt == row["messages"][:3]
    learnt = [turn.content for turn in question.record.messages if turn.learns]
    assert learnt == ["Two."]


def test_prompts_are_those_of_the_dataset():
    rows = [{"instruction": f"{n}?", "output": f"{n}!"} for n in range(5)]
    dataset = InstructionDataset(rows)
    questions = questions_of_dataset(dataset)
    assert [each.prompt for each in questions] == dataset.prompts()
    assert [each.place for each in questions] == [dataset.place(n) for n in range(5)]


def test_an_answer_that_only_calls_a_tool_has_no_reference():
    call = {"function": {"name": "add", "arguments": {"a": 1}}}
    row = {
        "messages": [
            {"role": "user", "content": "Add 1."},
            {"role": "assistant", "content": "", "tool_calls": [call]},
        ]
    }
    [question] = questions_of_dataset(InstructionDataset([row]))
    assert question.reference is None
    assert question.record is not None


def test_a_target_is_what_follows_the_text():
    [question] = questions_of_dataset(
        TextDataset([{"text": "2 + 2 =", "target": " 4"}])
    )
    assert (question.prompt, question.reference) == ("2 + 2 =", " 4")


def test_a_plain_text_asks_for_nothing():
    [question] = questions_of_dataset(TextDataset([{"text": "Once upon a time."}]))
    assert (question.prompt, question.reference) == ("", None)
    assert question.record == Document("Once upon a time.")


def test_the_chosen_answer_of_a_preference_is_right():
    row = {"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"}
    [question] = questions_of_dataset(PreferenceDataset([row]))
    assert question.prompt == [{"role": "user", "content": "Hi"}]
    assert question.reference == "Hello!"


JUDGED = [
    {"prompt": "Hi", "completion": text, "label": label}
    for text, label in (("What?", False), ("Hello!", True), ("Hey!", True))
]


def test_of_judgements_the_wanted_ones_are_asked():
    questions = questions_of_dataset(JudgementDataset(JUDGED))
    assert [(each.row, each.reference) for each in questions] == [
        (0, "Hello!"),
        (1, "Hey!"),
    ]


def test_a_limit_counts_what_is_asked():
    [question] = questions_of_dataset(JudgementDataset(JUDGED), limit=1)
    assert question.reference == "Hello!"


def test_data_without_a_wanted_answer_is_refused():
    with pytest.raises(DataError, match="no row with an answer that is wanted"):
        questions_of_dataset(JudgementDataset(JUDGED[:1]))


# Versions and metrics of plain data.


def answered(*references, **fields) -> list[Question]:
    return [
        Question(
            row=row,
            place=f"row {row}",
            prompt="?",
            record=None if reference is None else Document(reference, prompt="?"),
            reference=reference,
            **fields,
        )
        for row, reference in enumerate(references)
    ]


def test_a_version_is_twelve_digits_that_stay_the_same():
    # SHA-256 of '["?", "a", [], null, null]\n', by sha256sum.
    assert dataset_version(answered("a")) == "b30475c68368"


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "!"},
        {"reference": "b"},
        {"choices": ("a", "b")},
        {"reference": None, "record": Document("b")},
    ],
)
def test_a_version_changes_with_what_is_asked_or_right(other):
    [question] = answered("a")
    assert dataset_version([question]) != dataset_version([replace(question, **other)])


def test_texts_have_versions_of_their_own():
    one, other = (
        questions_of_dataset(TextDataset([{"text": text}])) for text in ("One.", "Two.")
    )
    assert dataset_version(one) != dataset_version(other)


def test_a_version_does_not_depend_on_where_rows_are():
    [question] = answered("a")
    moved = replace(question, place="elsewhere", row=7, fields={"id": 1})
    assert dataset_version([question]) == dataset_version([moved])


BEHAVIOUR = "self_stopping", "repetition"


@pytest.mark.parametrize(
    ("references", "metrics"),
    [
        (['{"a": 1}', "{}"], ["json_fields"]),
        (["So 1. #### 1", "####-2"], ["numeric_answer"]),
        (["yes", "no", "yes", "no"], ["labels"]),
        (["yes", "no", "yes"], ["exact_match", "token_f1", "rouge"]),
        (["x" * 41] * 4, ["exact_match", "token_f1", "rouge"]),
        ([f"{n}" for n in range(21)] * 2, ["exact_match", "token_f1", "rouge"]),
        (['{"a": 1}', "[1]"], ["exact_match", "token_f1", "rouge"]),
    ],
)
def test_metrics_are_chosen_by_what_answers_look_like(references, metrics):
    found = automatic_metrics(answered(*references))
    assert found == ("loss", *metrics, *BEHAVIOUR)


def test_choices_call_for_multiple_choice_alone():
    questions = answered("a", choices=("a", "b"), right=0)
    assert automatic_metrics(questions) == ("multiple_choice",)


def test_plain_texts_call_for_the_loss_alone():
    questions = questions_of_dataset(TextDataset([{"text": "Once."}]))
    assert automatic_metrics(questions) == ("loss",)


def test_prompts_alone_call_for_how_a_model_behaves():
    assert automatic_metrics(answered(None)) == BEHAVIOUR


@pytest.mark.parametrize("name", ["tickets", "arithmetic", "sentiment"])
def test_a_bundled_task_has_the_foremost_metric_that_its_rows_call_for(name):
    chosen = next(iter(open_task(name).metric_options))
    assert chosen in automatic_metrics(questions_of(open_task(name)))


def test_texts_without_latin_letters_are_measured_by_their_characters():
    found = automatic_metrics(answered("你好", "再见", "谢谢"))
    assert "chrf" in found
    assert "rouge" not in found
