import json
import re
from pathlib import Path

import pytest
import yaml

from xturing.core.errors import DataError
from xturing.selfinstruct.reporting import write_card, write_report
from xturing.selfinstruct.reporting.diversity import Root, diversity_of, root_of

PNG = b"\x89PNG\r\n\x1a\n"
PICTURES = ("verbs.png", "lengths.png", "novelty.png")
HOME = "/home/somebody"

SUMMARY = {
    "kind": "self-instruct",
    "engine": f"local:{HOME}/models/mine",
    "settings": {
        "seed": 7,
        "similarity_threshold": 0.65,
        "excluded_words": ["image", "graph"],
        "seeds_file": f"{HOME}/seeds.jsonl",
        "api_key": "sk-secret",
    },
    "prompts": {"instructions": "ab12cd"},
    "stages": [
        {"name": "instructions", "requests": 3, "found": 20, "accepted": 5},
        {"name": "instances", "requests": 1234, "found": 0, "accepted": 0},
    ],
    "usage": {"prompt_tokens": 12345, "completion_tokens": 678},
    "requests": 1237,
    "cost": 0.125,
    "stopped": None,
}
INSTRUCTIONS = [
    "Write a poem about the sea.",
    "Write two poems about the wind.",
    "Write a story about a fox.",
    "List five rivers of Asia.",
    "What is the capital of France?",
]
REJECTED = [
    {
        "stage": "instructions",
        "reason": "too similar",
        "text": f"Alike {n}",
        "detail": d,
    }
    for n, d in enumerate(["0.81 with: a | b", "0.90 with: c", "0.95 with: d"])
] + [
    {
        "stage": "instructions",
        "reason": "keyword",
        "text": "Draw <b>it</b>",
        "detail": "",
    }
]


def write_lines(path: Path, rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def write_run(tmp_path: Path) -> Path:
    """Fill a folder as a run of five instructions leaves it."""
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY), "utf-8")
    write_lines(
        tmp_path / "seed_tasks.jsonl",
        [{"instruction": "Write a poem about the sky.", "instances": []}],
    )
    write_lines(
        tmp_path / "machine_generated_instructions.jsonl",
        [{"instruction": text, "most_similar": {}} for text in INSTRUCTIONS],
    )
    write_lines(
        tmp_path / "is_clf_or_not.jsonl",
        [
            {"instruction": text, "is_classification": "Yes" if at == 0 else "No"}
            for at, text in enumerate(INSTRUCTIONS)
        ],
    )
    write_lines(
        tmp_path / "sampled_generated.jsonl",
        [
            {"instruction": text, "text": "a b c" if at else "", "target": "d e"}
            for at, text in enumerate([*INSTRUCTIONS, INSTRUCTIONS[0]])
        ],
    )
    write_lines(tmp_path / "rejected.jsonl", REJECTED)
    return tmp_path


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Return a folder of which was told already; tests leave it as it is."""
    folder = write_run(tmp_path_factory.mktemp("told"))
    write_report(folder)
    write_card(folder)
    return folder


@pytest.fixture(scope="module")
def report(told):
    return (told / "report.md").read_text("utf-8")


@pytest.fixture(scope="module")
def card(told):
    return (told / "README.md").read_text("utf-8")


def change(folder, **told) -> None:
    path = folder / "summary.json"
    path.write_text(json.dumps({**SUMMARY, **told}), "utf-8")


def report_of(folder) -> str:
    return write_report(folder).read_text("utf-8")


def card_of(folder) -> str:
    return write_card(folder).read_text("utf-8")


def cells(text, first):
    """Return the cells of the table row that begins so."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [re.split(r" \| ", line[2:-2]) for line in lines]


def test_the_report_is_in_the_folder(folder):
    assert write_report(folder) == folder / "report.md"


def test_the_report_tells_how_many_rows_there_are(report):
    assert "6 rows with 5 different instructions" in report


def test_the_report_tells_the_share_that_each_stage_kept(report):
    assert cells(report, "instructions")[0] == [
        *("instructions", "3", "20", "5", "25%")
    ]


def test_a_stage_that_found_nothing_has_no_share(report):
    assert cells(report, "instances")[0] == [*("instances", "1,234", "0", "0", "")]


def test_the_report_tells_how_many_are_classification_tasks(report):
    assert "1 of 5 instructions are classification tasks" in report


def test_the_report_counts_what_was_left_out_by_its_reason(report):
    rows = [row[1:] for row in cells(report, "instructions")]
    assert ["too similar", "3", "75%"] in rows
    assert ["keyword", "1", "25%"] in rows


def test_the_report_shows_two_examples_of_each_reason(report):
    assert [f"Alike {n}" in report for n in range(3)] == [True, True, False]


def test_words_of_others_are_shown_and_not_obeyed(report):
    assert r"Draw \<b\>it\</b\>" in report
    assert r"a \| b" in report


def test_a_long_text_is_cut_in_the_table(folder):
    row = {"stage": "s", "reason": "r", "text": "long " * 500, "detail": ""}
    write_lines(folder / "rejected.jsonl", [row])
    assert len(max(report_of(folder).splitlines(), key=len)) < 500


def test_the_report_tells_verbs_and_their_objects(report):
    assert cells(report, "write") == [["write", "3", "poem 2, story 1"]]
    assert cells(report, "list") == [["list", "1", "river 1"]]


def test_the_report_says_that_verbs_are_found_by_a_rule_of_thumb(report):
    assert "by a rule of thumb" in report


def test_the_report_tells_lengths_in_words(report):
    assert cells(report, "inputs") == [["inputs", "5", "3.0", "3", "3", "3", "3"]]
    assert cells(report, "instructions")[-1][1:4] == ["5", "5.8", "5"]


def test_the_report_tells_how_many_rows_have_no_input(report):
    assert "1 of 6 rows have no input" in report


def test_the_report_tells_how_like_the_seeds_the_instructions_are(report):
    # "Write a poem about the sea." has 5 of 6 words in common with the seed.
    assert "0.83 at most" in report


def test_the_report_tells_tokens_and_costs(report):
    assert cells(report, "prompt tokens") == [["prompt tokens", "12,345"]]
    assert cells(report, "completion tokens") == [["completion tokens", "678"]]
    assert cells(report, "cost") == [["cost", r"\$0.1250"]]


def test_a_cost_that_is_not_known_is_not_told_as_none(folder):
    change(folder, cost=None)
    assert "None" not in report_of(folder)
    assert cells(report_of(folder), "cost")[0][1] == "not known: no price"


def test_the_report_tells_that_a_run_ended_early(folder):
    change(folder, stopped="max_requests=3 is reached")
    assert "The run ended early: max_requests=3 is reached." in report_of(folder)


def test_the_report_tells_how_many_rows_each_file_gave(folder):
    rows = [
        {"instruction": "q", "text": "", "target": "a", "source": name, "part": ""}
        for name in ("b.txt", "a.pdf", "b.txt", "b.txt")
    ]
    write_lines(folder / "sampled_generated.jsonl", rows)
    text = report_of(folder)
    assert cells(text, "b.txt") == [["b.txt", "3", "75%"]]
    assert cells(text, "a.pdf") == [["a.pdf", "1", "25%"]]


@pytest.mark.parametrize("name", PICTURES)
def test_the_report_shows_its_pictures(told, report, name):
    assert f"]({name})" in report
    data = (told / name).read_bytes()
    assert data.startswith(PNG)
    assert len(data) > 1000


def test_pictures_of_the_same_run_are_equal_to_the_byte(folder, told):
    write_report(folder)
    for name in PICTURES:
        assert (folder / name).read_bytes() == (told / name).read_bytes()


def test_reports_of_the_same_run_are_equal(folder, report, card):
    assert report_of(folder) == report
    assert card_of(folder) == card


def test_drawing_changes_no_setting_of_matplotlib(folder):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    write_report(folder)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("write", [write_report, write_card])
@pytest.mark.parametrize(
    "missing",
    [
        "summary.json",
        "seed_tasks.jsonl",
        "machine_generated_instructions.jsonl",
        "is_clf_or_not.jsonl",
        "sampled_generated.jsonl",
        "rejected.jsonl",
    ],
)
def test_a_run_that_wrote_not_all_is_told_as_far_as_it_came(folder, write, missing):
    (folder / missing).unlink()
    assert write(folder).stat().st_size > 300


@pytest.mark.parametrize("write", [write_report, write_card])
def test_an_empty_folder_is_told_as_such(tmp_path, write):
    assert "rows" in write(tmp_path).read_text("utf-8")


def test_what_could_become_rows_is_told_while_there_are_none(folder):
    (folder / "sampled_generated.jsonl").unlink()
    row = {"instruction": "Sing a song.", "input": "", "output": "la la la"}
    write_lines(folder / "all_generated.jsonl", [row])
    assert cells(report_of(folder), "outputs")[0][1:3] == ["1", "3.0"]


def test_a_damaged_file_is_named(folder):
    (folder / "rejected.jsonl").write_text("{", "utf-8")
    with pytest.raises(DataError, match=r"rejected\.jsonl, line 1"):
        write_report(folder)


def test_texts_of_all_kinds_of_characters_are_told(folder):
    odd = ["写一首关于大海的诗", "\x00 \ud800 $x$ <script> | `", "Écris un résumé", ""]
    rows = [{"instruction": each, "text": each, "target": each} for each in odd]
    write_lines(folder / "sampled_generated.jsonl", rows)
    write_lines(folder / "machine_generated_instructions.jsonl", rows)
    rejected = [
        {"stage": "s", "reason": each or "r", "text": each, "detail": each}
        for each in odd
    ]
    write_lines(folder / "rejected.jsonl", rejected)
    assert "<script>" not in report_of(folder).replace(r"\<", "")
    assert "<script>" not in card_of(folder).replace(r"\<", "")


def front_of(text):
    _, front, _ = text.split("---\n", 2)
    return yaml.safe_load(front)


def test_the_card_is_the_readme_of_the_folder(folder):
    assert write_card(folder) == folder / "README.md"


def test_the_card_tells_the_hub_that_the_data_is_synthetic(card):
    front = front_of(card)
    assert front["tags"] == ["synthetic", "xturing"]
    assert front["task_categories"] == ["text-generation"]


def test_the_card_tells_the_hub_which_file_is_the_dataset(folder):
    (config,) = front_of(card_of(folder))["configs"]
    assert (folder / config["data_files"]).is_file()


@pytest.mark.parametrize(
    ("rows", "size"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K")]
)
def test_the_card_tells_the_hub_the_size(folder, rows, size):
    write_lines(folder / "sampled_generated.jsonl", [{"instruction": "a"}] * rows)
    assert front_of(card_of(folder))["size_categories"] == [size]


def test_the_card_tells_model_settings_and_prompts(card):
    assert cells(card, "seed") == [["seed", "7"]]
    assert cells(card, "prompt instructions")[0][1] == "SHA-256 ab12cd"
    assert cells(card, "seed tasks") == [["seed tasks", "1"]]
    assert cells(card, "model") == [["model", "local:mine"]]


def test_the_card_tells_how_rows_were_filtered(card):
    assert "ROUGE-L F1 above 0.65" in card
    assert cells(card, "too similar") == [["too similar", "3"]]


def test_the_card_warns_of_what_models_write(card):
    assert "nobody has checked them" in card
    assert "terms of the model and of its provider apply" in card


def test_neither_paper_holds_a_key_or_a_place_of_the_machine(folder):
    for text in (report_of(folder), card_of(folder)):
        assert HOME not in text
        assert str(folder) not in text
        assert "sk-secret" not in text


@pytest.mark.parametrize(
    "engine",
    [
        *("local:/home/somebody/m", "local:~/secret/m", "local:../secret/m"),
        *(r"local:C:\Users\somebody\m", r"local:\\server\somebody\m"),
    ],
)
def test_a_model_in_a_folder_is_told_by_its_name(folder, engine):
    change(folder, engine=engine)
    assert cells(card_of(folder), "model") == [["model", "local:m"]]


@pytest.mark.parametrize("engine", ["openai:gpt-4.1-mini", "openai:meta-llama/L-3:8b"])
def test_a_model_of_a_service_keeps_its_name(folder, engine):
    change(folder, engine=engine)
    assert cells(card_of(folder), "model") == [["model", engine]]


def test_the_card_of_documents_tells_where_answers_stand(folder):
    change(folder, kind="documents")
    row = {"instruction": "q", "text": "", "target": "a", "source": "b.txt"}
    write_lines(folder / "sampled_generated.jsonl", [row])
    text = card_of(folder)
    assert "from 1 file." in text
    assert "`source`, `part`, `start` and `end`" in text


ROOTS = {
    # Orders.
    "Describe a process of making crepes.": ("describe", "process"),
    "Write a short and funny story about a dog.": ("write", "story"),
    "Generate a list of five different books about science.": ("generate", "list"),
    "Give me an example of unethical behavior.": ("give", "example"),
    "Come up with three unique uses of a sock.": ("come", "use"),
    "Fill in the blank with a word.": ("fill", "blank"),
    "Find out the average salary in the US": ("find", "salary"),
    "Compare and contrast two novels by the same author.": ("compare", "novel"),
    "Explain why debugging is important.": ("explain", None),
    "Name 5 flowers found in a tropical rainforest.": ("name", "flower"),
    "List 4 ways to reduce plastic waste.": ("list", "way"),
    "Identify all of the categories in this text.": ("identify", "category"),
    "Rewrite the following sentence using active voice.": ("rewrite", "sentence"),
    "Answer the following:": ("answer", None),
    "Describe the company's mission statement.": ("describe", "statement"),
    "Suggest a machine learning model for images.": ("suggest", "model"),
    "Write some tips for children and people on diets.": ("write", "tip"),
    "Write about the importance of teamwork.": ("write", None),
    "Frobnicate the widgets in my code.": ("frobnicate", "widget"),
    "Create a 5-step plan for tomorrow.": ("create", "plan"),
    "Delete the last two paragraphs.": ("delete", "paragraph"),
    "Categorize the following three words.": ("categorize", "word"),
    "Write a concise but meaningful goodbye message": ("write", "message"),
    # With something before the verb.
    "Please briefly summarize this article.": ("summarize", "article"),
    "Can you make a detailed plan for me?": ("make", "plan"),
    "I want you to act as a pirate.": ("act", None),
    "You need to write a creative opening scene.": ("write", "scene"),
    "Help me write a letter.": ("write", "letter"),
    "Given a sentence that is assertive, convert it to a question.": ("convert", None),
    "Given a set of numbers, find all possible subsets.": ("find", "subset"),
    "Using the facts given, write a question-answer pair.": ("write", "pair"),
    "In this task, you are given a text, and you need to find errors.": (
        "find",
        "error",
    ),
    "You are given words and you need to write a sentence.": ("write", "sentence"),
    "Suppose you are in Rome, write a diary entry.": ("write", "entry"),
    "My flight is late. Give me a detailed answer.": ("give", "answer"),
    "Task: Translate the sentence into French.": ("translate", "sentence"),
    "Solving the equation and find the value of X.": ("solve", "equation"),
    "1. Sort the list.": ("sort", "list"),
    # Questions.
    "What is the capital of France?": ("be", None),
    "Are you smarter than most redheads?": ("be", None),
    "How do I make a cake?": ("make", "cake"),
    "How to make a cake?": ("make", "cake"),
    "How would you explain colors to a child?": ("explain", "color"),
    "How does the stock market work?": ("work", None),
    "What challenges can you expect when editing?": ("expect", "challenge"),
    "In what ways can technology help children?": ("help", "child"),
    "How can individuals and firms reduce bias?": ("reduce", "bias"),
    "What would be an example of a strategy?": ("be", None),
    "What would happen if the moon fell?": ("happen", None),
    "How many eggs do ducks lay?": ("lay", "egg"),
    "How much will he pay for the boat?": ("pay", None),
    "How fast did she run?": ("run", None),
    "How old will he be?": ("be", None),
    "Who wrote this famous book?": ("write", "book"),
    "What causes rain?": ("cause", "rain"),
    "In your opinion, what are the qualities of a coach?": ("be", None),
    # Neither.
    "The cat sat on the mat.": None,
    "I am happy.": None,
    "": None,
    "写一首诗": None,
}


@pytest.mark.parametrize(("text", "expected"), ROOTS.items(), ids=list(ROOTS))
def test_the_verb_and_its_object_are_found(text, expected):
    root = root_of(text)
    assert (root and (root.verb, root.object)) == expected


def test_a_typographic_apostrophe_is_an_apostrophe():
    assert root_of("Explain a film\u2019s plot.") == Root("explain", "plot")


def test_equal_counts_stand_in_the_order_of_the_alphabet():
    verbs = diversity_of(["Write a poem.", "Write a novel.", "List a river."]).verbs
    assert [verb.name for verb in verbs] == ["write", "list"]
    assert verbs[0].objects == (("novel", 1), ("poem", 1))


def test_instructions_without_a_verb_are_counted():
    diversity = diversity_of(["Write a poem.", "Explain why.", "The sky."])
    assert diversity.instructions == 3
    assert diversity.with_verb == 2
    assert diversity.with_object == 1
    assert diversity.pairs == 1


def test_most_real_instructions_have_a_verb_and_an_object(alpaca):
    rows = json.loads(alpaca.read_text("utf-8"))
    diversity = diversity_of(row["instruction"] for row in rows)
    assert diversity.with_verb > 0.95 * diversity.instructions
    assert diversity.with_object > 0.7 * diversity.instructions
