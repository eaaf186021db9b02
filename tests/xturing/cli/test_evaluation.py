"""`xturing eval` and `xturing compare`: what they show, write and end with."""

import json

import pytest
import scripts
import tiny

QUICK = ("--set", "max_new_tokens=4", "--set", "forgetting=false")


@pytest.fixture
def rows(tmp_path):
    return scripts.write_lines(tmp_path / "rows.jsonl", tiny.ROWS[:8])


@pytest.fixture
def scored(xturing, tiny_folder, rows, tmp_path):
    """Return the folder of an evaluation of one model."""
    folder = tmp_path / "scores"
    metrics = ("--metrics", "loss,exact_match")
    done = xturing(
        "eval", "-m", tiny_folder, "-d", rows, *metrics, "-o", folder, *QUICK
    )
    assert done.code == 0, done.err
    return folder


def test_scores_are_shown_with_their_intervals(xturing, tiny_folder, rows):
    done = xturing("eval", "-m", tiny_folder, "-d", rows, "--metrics", "exact_match")
    assert done.code == 0, done.err
    assert "exact_match" in done.out
    assert "0.0% (0.0% to 32.4%)" in done.out


def test_a_folder_has_answers_and_reports(scored):
    names = {path.name for path in scored.iterdir()}
    assert {"report.json", "report.md", "report.html", "rows.jsonl"} <= names
    assert json.loads((scored / "report.json").read_text())["schema_version"] == 1


def test_a_model_against_itself_shows_no_difference(xturing, tiny_folder, rows):
    asked = ("-d", rows, "--metrics", "loss", *QUICK)
    done = xturing("compare", tiny_folder, tiny_folder, *asked)
    assert (done.code, "No difference shown between" in done.out) == (0, True)


def test_json_is_the_report(xturing, tiny_folder, rows):
    asked = ("-d", rows, "--metrics", "loss", "--json")
    done = xturing("eval", "-m", tiny_folder, *asked)
    assert json.loads(done.out)["results"][0]["scores"][0]["name"] == "loss"


def test_kept_answers_are_measured_by_other_metrics(xturing, scored):
    done = xturing("eval", "rescore", scored, "--metrics", "token_f1,rouge")
    assert done.code == 0, done.err
    assert "token_f1" in done.out
    assert "rougeL" in done.out


@pytest.mark.parametrize(
    ("bound", "code"), [("loss=0.01", 3), ("loss=1000", 0), ("exact_match=0.5", 3)]
)
def test_a_bound_decides_the_code(xturing, scored, bound, code):
    done = xturing("eval", "rescore", scored, "--fail-under", bound)
    assert done.code == code
    assert ("is not met" in done.err) == (code == 3)


def test_a_base_that_is_an_earlier_evaluation_decides_the_code(
    xturing, tiny_folder, tmp_path, rows, scored
):
    worse = tiny.save_folder(tmp_path / "worse", "phi3")
    asked = ("-d", rows, "--metrics", "loss", "--must-not-regress", scored, *QUICK)
    same = xturing("eval", "-m", tiny_folder, *asked)
    other = xturing("eval", "-m", worse, *asked)
    assert same.code == 0, same.err
    assert other.code == (3 if "is worse than" in other.out else 0), other.err


def test_tasks_and_metrics_are_listed(xturing):
    done = xturing("eval", "list")
    assert done.code == 0
    for name in ("common_sense", "gsm8k", "pass_at_k", "multiple_choice"):
        assert name in done.out


def test_a_task_is_asked_by_its_name(xturing, tiny_folder):
    task = ("--task", "common_sense", "--limit", "4")
    done = xturing("eval", "-m", tiny_folder, *task)
    assert done.code == 0, done.err
    assert "choice_accuracy_normalised" in done.out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Name a model: -m smollm2"),
        (["-m", "smollm2"], "exactly one of -d ROWS and --task NAME"),
        (["-m", "smollm2", "--task", "comon_sense"], "Did you mean 'common_sense'"),
        (["-m", "smollm2", "-d", "none.jsonl"], "none.jsonl"),
        (
            ["-m", "smollm2", "--task", "common_sense", "--set", "smaples=2"],
            "Did you mean 'samples'",
        ),
        (
            ["-m", "smollm2", "--harness", "a", "--metrics", "loss"],
            "--metrics does not go",
        ),
        (
            ["-m", "smollm2", "--harness", "a", "--set", "samples=2"],
            "--set samples does not go",
        ),
        (
            ["-m", "smollm2", "--task", "common_sense", "--few-shot", "2"],
            "go with --harness only",
        ),
    ],
)
def test_what_is_missing_or_misspelt_is_said_before_a_model_is_opened(
    xturing, arguments, complaint
):
    done = xturing("eval", *arguments)
    assert done.code == 1
    assert complaint in done.err


def test_an_unknown_metric_names_the_nearest(xturing, rows):
    asked = ("-d", rows, "--metrics", "exact_mach")
    done = xturing("eval", "-m", "smollm2", *asked)
    assert (done.code, "Did you mean 'exact_match'" in done.err) == (1, True)


def test_a_judge_is_asked_in_both_orders(xturing, tiny_folder, rows, tmp_path):
    folder, replies = tmp_path / "compared", tmp_path / "replies.jsonl"
    asked = ("-d", rows, "--metrics", "repetition", "-o", folder, *QUICK)
    assert xturing("compare", tiny_folder, tiny_folder, *asked).code == 0
    scripts.write_lines(replies, [{"text": "Verdict: A"}])
    done = xturing("eval", "judge", folder, "--engine", f"scripted:{replies}")
    assert done.code == 0, done.err
    told = json.loads((folder / "judge.json").read_text())
    assert (told["inconsistent"], told["first_share"]) == (8, 1.0)
    assert "No difference shown" in done.out


def test_a_judge_marks_by_a_rubric(xturing, tiny_folder, rows, tmp_path):
    folder, replies = tmp_path / "scores", tmp_path / "replies.jsonl"
    asked = ("-d", rows, "--metrics", "repetition", "-o", folder, *QUICK)
    assert xturing("eval", "-m", tiny_folder, *asked).code == 0
    scripts.write_lines(replies, [{"text": "Score: 4"}])
    engine = ("--engine", f"scripted:{replies}", "--max-requests", "8")
    done = xturing("eval", "judge", folder, *engine, "--rubric", "Is it polite?")
    assert done.code == 0, done.err
    assert json.loads((folder / "judge.json").read_text())["mean"] == 4.0
