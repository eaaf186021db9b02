"""Evaluations from first to last: kept, resumed, measured anew, gated."""

import gc
import json
import signal
import subprocess
import sys
import weakref
from pathlib import Path

import killed_evaluation
import pytest
import tiny

from xturing.core.errors import DataError, ModelError, OutputError, SettingsError
from xturing.core.events import listening
from xturing.core.journals import sole_user
from xturing.data import InstructionDataset, TextDataset
from xturing.eval import (
    Advanced,
    Bound,
    EvalConfig,
    Gates,
    Task,
    evaluate,
    open_task,
    read_evaluation,
    rescore,
)
from xturing.eval.answering import Manner, answers_of
from xturing.eval.keeping import Kept
from xturing.eval.questions import Question, Written
from xturing.models import BaseModel, GenericLoraModel, GenericModel

METRICS = ["loss", "exact_match", "self_stopping"]
PROGRAM = killed_evaluation.__file__


class Killed(BaseException):
    """Stands for `kill -9`: nobody catches it."""


@pytest.fixture(scope="module")
def model(tiny_folder):
    return GenericModel(tiny_folder)


@pytest.fixture
def config():
    return EvalConfig(batch_size=4, max_new_tokens=6, resamples=200)


def files(folder: Path) -> dict[str, bytes]:
    """Return what an evaluation's folder holds, by name."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def counted(batches: int):
    """Return a listener that ends the program after so many batches."""
    seen = 0

    def listen(event):
        nonlocal seen
        seen += isinstance(event, Advanced)
        if seen == batches:
            raise Killed

    return listen


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """Return the folder of an evaluation that nothing stopped, with its values."""
    folder = tmp_path_factory.mktemp("whole") / "scores"
    found = evaluate(
        [model],
        InstructionDataset(tiny.ROWS),
        metrics=METRICS,
        config=EvalConfig(batch_size=4, max_new_tokens=6, resamples=200),
        folder=folder,
    )
    return folder, found


@pytest.mark.parametrize("batches", [1, 2, 4])
def test_a_run_that_was_stopped_ends_in_the_same_report(
    model, rows, config, whole, tmp_path, batches
):
    arguments = {"metrics": METRICS, "config": config, "folder": tmp_path}
    with pytest.raises(Killed), listening(counted(batches)):
        evaluate([model], rows, **arguments)
    evaluate([model], rows, **arguments)
    assert files(tmp_path) == files(whole[0])


def test_nothing_is_asked_twice(model, rows, config, tmp_path, monkeypatch):
    arguments = {"metrics": METRICS, "config": config, "folder": tmp_path}
    first = evaluate([model], rows, **arguments)
    monkeypatch.setattr(
        "xturing.eval.answering.generate", lambda *_: pytest.fail("asked again")
    )
    assert evaluate([model], rows, **arguments) == first


def test_killed_by_the_system_it_goes_on_to_the_same_bytes(tiny_folder, tmp_path):
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps(tiny.ROWS[:12]))
    asked = str(tiny_folder), str(rows)
    command = [sys.executable, PROGRAM, *asked, tmp_path / "killed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        while not program.stdout.readline().startswith("answers 3"):
            assert program.poll() is None
        program.kill()
    assert program.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "report.json").exists()
    killed_evaluation.run(*asked, str(tmp_path / "killed"))
    killed_evaluation.run(*asked, str(tmp_path / "whole"))
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_other_settings_leave_what_is_kept_and_are_asked_anew(
    model, rows, config, tmp_path
):
    evaluate([model], rows, metrics=METRICS, config=config, folder=tmp_path)
    before = files(tmp_path / "kept")
    config.max_new_tokens = 3
    found = evaluate([model], rows, metrics=METRICS, config=config, folder=tmp_path)
    after = files(tmp_path / "kept")
    assert before.items() <= after.items()
    assert all(
        answer.tokens <= 3
        for outcome in found.results[0].outcomes
        for answer in outcome.answers
    )


def test_a_damaged_line_is_named(model, rows, config, tmp_path):
    evaluate([model], rows, metrics=["loss"], config=config, folder=tmp_path)
    (file,) = (tmp_path / "kept").rglob("references-*.jsonl")
    first, *rest = file.read_text().splitlines(keepends=True)
    file.write_text("".join([first, "{torn\n", *rest]))
    with pytest.raises(DataError, match=r"references-\w+\.jsonl, line 2 is damaged"):
        evaluate([model], rows, metrics=["loss"], config=config, folder=tmp_path)


def test_a_folder_has_one_user_at_a_time(model, rows, config, tmp_path):
    with sole_user(tmp_path), pytest.raises(OutputError, match="Another process"):
        evaluate([model], rows, config=config, folder=tmp_path)


def test_answers_are_measured_anew_without_a_model(whole):
    folder, found = whole
    again = rescore(folder, config=EvalConfig(resamples=200))
    assert again.results[0].scores == found.results[0].scores
    other = rescore(folder, metrics=["token_f1"])
    assert [score.name for score in other.results[0].scores] == ["token_f1"]


def test_a_folder_without_an_evaluation_is_named(tmp_path):
    with pytest.raises(DataError, match="There is no evaluation in"):
        read_evaluation(tmp_path)


def test_what_was_not_asked_cannot_be_measured_anew(model, rows, config, tmp_path):
    evaluate([model], rows, metrics=["loss"], config=config, folder=tmp_path)
    with pytest.raises(DataError, match="answers"):
        rescore(tmp_path, metrics=["exact_match"])


def test_a_model_against_itself_shows_no_difference(model, rows, config):
    found = evaluate([model, model], rows, metrics=METRICS, config=config)
    (compared,) = found.compared
    assert compared.verdict == "no difference shown"
    assert "No difference shown between generic (2) and generic" in compared.sentence
    assert compared.forgetting is not None
    assert compared.forgetting.difference == 0


@pytest.fixture(scope="module")
def tuned(tiny_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned") / "out"
    rows = folder.parent / "rows.json"
    rows.write_text(json.dumps(tiny.ROWS))
    model = GenericLoraModel(tiny_folder)
    config = model.finetuning_config()
    config.output_dir, config.learning_rate = str(folder), 5e-2
    config.batch_size, config.max_length, config.num_train_epochs = 4, 128, 3
    config.validation_split, config.report_samples = 0, 0
    model.finetune(str(rows))
    return folder


def test_a_tuned_model_is_better_and_its_rows_are_found_in_its_training_data(
    model, tuned, rows, config
):
    found = evaluate([model, tuned], rows, metrics=["loss"], config=config)
    assert found.compared[0].verdict == "better"
    contamination = found.results[1].contamination
    assert contamination is not None
    assert contamination.rows == len(rows)
    assert contamination.found[0].source.startswith(str(tuned.parent / "rows.json"))
    assert found.results[0].contamination is None


def test_training_data_that_is_gone_is_told(tuned, rows, config):
    file = tuned.parent / "rows.json"
    away = file.rename(file.with_name("away.json"))
    try:
        found = evaluate([tuned], rows, metrics=["loss"], config=config)
    finally:
        away.rename(file)
    contamination = found.results[0].contamination
    assert contamination is not None
    assert contamination.rows is None
    assert "rows.json" in contamination.reason


def test_an_earlier_evaluation_stands_for_its_model(model, tuned, rows, config, whole):
    found = evaluate(
        [whole[0], tuned],
        rows,
        metrics=["loss"],
        config=config,
        gates=Gates(refuses_regressions=True),
    )
    assert found.results[0].model == f"generic in {whole[0]}"
    assert found.compared[0].verdict == "better"
    assert not found.failures
    with pytest.raises(DataError, match="holds answers to other questions"):
        evaluate([whole[0], model], rows.select(range(5)), config=config)


def test_a_regression_fails_the_gate(model, tuned, rows, config):
    found = evaluate(
        [tuned, model],
        rows,
        metrics=["loss"],
        config=config,
        gates=Gates(refuses_regressions=True),
    )
    assert {each.condition for each in found.failures} == {
        f"must not regress from {tuned}"
    }
    assert "generic is worse by loss" in found.failures[0].reason


@pytest.mark.parametrize(
    ("bound", "fails"),
    [
        ("loss=1000", False),
        ("loss=0.1", True),
        ("exact_match=0", False),
        ("exact_match=0.5", True),
    ],
)
def test_a_bound_holds_as_its_figure_is_better_high_or_low(whole, bound, fails):
    found = rescore(whole[0], gates=Gates(bounds=(Bound.parse(bound),)))
    assert bool(found.failures) == fails


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("loss", "write it as FIGURE=VALUE"),
        ("loss=low", "write it as FIGURE=VALUE"),
    ],
)
def test_a_bound_that_is_not_one_is_refused(text, complaint):
    with pytest.raises(SettingsError, match=complaint):
        Bound.parse(text)


def test_a_bound_of_no_figure_names_the_nearest(whole):
    with pytest.raises(SettingsError, match=r"no figure.*Did you mean 'exact_match'"):
        rescore(whole[0], gates=Gates(bounds=(Bound.parse("exact_matsch=1"),)))


def test_samples_are_drawn_apart_and_by_the_seed(model, rows, config):
    config.samples, config.temperature, config.limit = 3, 1.0, 4

    def texts():
        found = evaluate([model], rows, metrics=["repetition"], config=config)
        return [[a.text for a in each.answers] for each in found.results[0].outcomes]

    first = texts()
    assert all(len(set(answers)) > 1 for answers in first)
    assert texts() == first
    config.seed = 1
    assert texts() != first


def test_several_samples_need_a_temperature(model, rows):
    with pytest.raises(SettingsError, match="Set temperature, such as 0.7"):
        evaluate([model], rows, config=EvalConfig(samples=2))


def test_pass_at_k_gets_as_many_samples_as_are_drawn(model, rows, config, tmp_path):
    checker = tmp_path / "check.py"
    checker.write_text("import sys; sys.exit(0)")
    config.samples, config.temperature, config.limit = 2, 1.0, 2
    options = {"pass_at_k": {"checker": str(checker), "k": [1, 2]}}
    found = evaluate([model], rows, metrics=options, config=config)
    values = {score.name: score.value for score in found.results[0].scores}
    assert values == {"pass_at_1": 1.0, "pass_at_2": 1.0}


def answered(model, *stop: str) -> Written:
    question = Question(row=0, place="row 1", prompt="hello to the world")
    manner = Manner(max_new_tokens=8, stop=stop)
    ((answer,),) = answers_of(model, [question], manner, lambda _, key: Kept(None, key))
    return answer


def test_stops_cut_an_answer(model):
    whole_answer = answered(model)
    stop = whole_answer.text[2:4]
    cut = answered(model, stop)
    assert cut.text == whole_answer.text[: whole_answer.text.index(stop)]
    assert cut.stopped


def test_plain_texts_have_a_loss_and_nothing_to_answer(model, config):
    texts = TextDataset([{"text": text, "target": ""} for text in tiny.CORPUS])
    found = evaluate([model], texts, config=config)
    assert [score.name for score in found.results[0].scores] == [
        "loss",
        "perplexity",
        "bits_per_byte",
    ]
    with pytest.raises(DataError, match="no prompt that an answer could be written to"):
        evaluate([model], texts, metrics=["repetition"], config=config)


def test_a_model_without_a_chat_template_is_named(tiny_folder, rows, config):
    model = GenericModel(tiny_folder)
    model.engine.tokenizer.chat_template = None
    for metrics in (["loss"], ["exact_match"]):
        with pytest.raises(ModelError, match="has no chat template.*--chat-template"):
            evaluate([model], rows, metrics=metrics, config=config)


def test_a_prompt_that_leaves_no_room_is_named(model, rows):
    config = EvalConfig(max_new_tokens=510)
    with pytest.raises(DataError, match=r"row 1.*set max_new_tokens lower"):
        evaluate([model], rows, metrics=["exact_match"], config=config)


def test_a_reference_that_is_missing_is_named(model, config, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"q": "say fox"}\n')
    task = Task(
        name="t",
        version=1,
        description="d",
        data=str(tmp_path / "rows.jsonl"),
        prompt="{{ q }}",
        metrics=["exact_match"],
    )
    with pytest.raises(DataError, match=r"line 1 has no reference to compare"):
        evaluate([model], task, config=config)


def test_no_model_is_an_error(rows):
    with pytest.raises(SettingsError, match="No model is given"):
        evaluate([], rows)


def test_models_are_let_go_before_the_next_one_is_opened(tiny_folder, rows, config):
    alive: list[weakref.ref[BaseModel]] = []

    def opened(reference):
        gc.collect()
        assert not any(model() for model in alive)
        model = GenericModel(tiny_folder)
        alive.append(weakref.ref(model))
        return model

    evaluate(["a", "b"], rows, metrics=["loss"], config=config, open_by=opened)
    assert len(alive) == 2


def test_multiple_choice_is_asked_by_likelihood(model, config):
    config.limit = 8
    found = evaluate([model], open_task("common_sense"), config=config)
    outcomes = found.results[0].outcomes
    assert all(len(outcome.choices) == 4 for outcome in outcomes)
    assert {score.name for score in found.results[0].scores} == {
        "choice_accuracy",
        "choice_accuracy_normalised",
    }
