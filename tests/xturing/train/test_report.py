"""The papers of a run agree with one another, and tell no secret."""

import html
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import yaml
from interrupted import kill_after, run
from preferences import OPEN
from preferences import ROWS as PREFERENCES

from xturing.core.errors import OutputError
from xturing.core.events import listening
from xturing.core.papers import markdown
from xturing.core.papers.html import page as html_page
from xturing.data import InstructionDataset, PreferenceDataset, encode
from xturing.models import BaseModel, GenericLoraModel, GenericModel
from xturing.models.folders import Base
from xturing.train import FinetuneReport, StepEnded, finetuning, held_out_loss
from xturing.train.evaluation import held_out_score
from xturing.train.objectives.sft import Supervised
from xturing.train.reporting import looking
from xturing.train.reporting.additions import Choice, Topic
from xturing.train.reporting.card import metadata, origin
from xturing.train.reporting.content import sections
from xturing.train.reporting.samples import as_base, ask, choose

HOSTILE = "<img src=x onerror=alert(1)>"
ROWS = [
    *tiny.ROWS,
    *({"instruction": f"{HOSTILE} {n}", "text": "", "target": HOSTILE} for n in "abcd"),
]
HELD_OUT = [row for row in ROWS if "fox" in row["instruction"] or "<" in row["target"]]
EPOCHS = 3
SAMPLES = 9


def configured(model: BaseModel, folder: Path) -> BaseModel:
    config = model.finetuning_config()
    config.output_dir = str(folder / "out")
    config.learning_rate, config.batch_size = 1e-2, 4
    config.num_train_epochs, config.max_length = EPOCHS, 128
    config.report_samples = SAMPLES
    model.generation_config().max_new_tokens = 8
    return model


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("ann's secret folder")


@pytest.fixture(scope="module")
def model(tiny_folder, place) -> BaseModel:
    return configured(GenericLoraModel(tiny_folder), place)


@pytest.fixture(scope="module")
def report(model, place) -> FinetuneReport:
    file = place / "rows.json"
    file.write_text(json.dumps(ROWS))
    return model.finetune(InstructionDataset(file), eval_dataset=HELD_OUT)


@pytest.fixture(scope="module")
def written(report) -> dict:
    return json.loads((report.output_dir / "report.json").read_text())


@pytest.fixture(scope="module")
def page(report) -> str:
    return report.page.read_text()


@pytest.fixture(scope="module")
def text(report) -> str:
    return (report.output_dir / "report.md").read_text()


@pytest.fixture(scope="module")
def card(report) -> str:
    return (report.output_dir / "README.md").read_text()


@pytest.fixture(scope="module")
def by_row(report) -> list[dict]:
    lines = (report.output_dir / "row_losses.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("paper", ["page", "text"])
def test_a_report_shows_the_numbers_of_report_json(paper, written, request):
    shown = html.unescape(request.getfixturevalue(paper)).replace("\\", "")
    found = written["verdict"]
    for number in (found["base"], found["tuned"]):
        assert f"{number:.4f}" in shown
    for number in (found["difference"], found["low"], found["high"]):
        assert f"{number:+.4f}" in shown
    assert f"{written['tokens_per_second']:,.1f}" in shown
    assert f"{written['trainable_parameters']:,} of {written['parameters']:,}" in shown
    assert f"{written['self_stopping'][1]:.0%} of the tuned" in shown


@pytest.mark.parametrize("paper", ["page", "text"])
def test_a_report_shows_every_setting_and_who_set_it(paper, written, request):
    shown = html.unescape(request.getfixturevalue(paper)).replace("\\", "")
    ends = ("</td><td>", "</td></tr>") if paper == "page" else (" | ", " |\n")
    for name, value in written["settings"].items():
        cells = name, str(value), written["sources"][name]
        assert ends[0].join(cells) + ends[1] in shown


def test_what_rows_hold_is_shown_and_not_obeyed(page, report):
    assert HOSTILE in " ".join(sample.reference for sample in report.samples)
    assert "<img" not in page
    assert html.escape(HOSTILE) in page


def test_both_curves_are_drawn(page):
    titles = re.findall(r"<svg[^>]*><title>([^<]*)</title>", page)
    assert titles == ["Loss", "Learning rate"]


def test_the_comparison_is_of_the_first_and_the_last_validation(report):
    assert report.verdict.base == pytest.approx(report.loss_before)
    assert report.verdict.tuned == pytest.approx(report.loss_after)


def test_a_model_that_learnt_its_rows_is_called_better__peer_theme_14(report, page):
    assert report.verdict.outcome == "better"
    assert "The tuned model is better" in page


def test_samples_are_what_the_two_models_write(report, model):
    examples = encoded(model, InstructionDataset(HELD_OUT))
    questions = choose(examples, SAMPLES, context_length=512, seed=0)
    tuned = ask(model, questions)
    with as_base(model):
        base = ask(model, questions)
    assert tuple(sample.tuned for sample in report.samples) == tuned
    assert tuple(sample.base for sample in report.samples) == base


def test_rows_are_told_of_in_their_order_and_once_an_epoch(by_row, place):
    assert [line["row"] for line in by_row] == list(range(len(ROWS)))
    assert all(str(place / "rows.json") in line["place"] for line in by_row)
    assert {len(line["losses"]) for line in by_row} == {EPOCHS}


@pytest.mark.parametrize("label_smoothing", [0, 0.2])
def test_row_losses_add_up_to_those_of_the_steps__peer_theme_1(
    tiny_folder, tmp_path, rows, label_smoothing
):
    steps: list[StepEnded] = []
    model = configured(GenericLoraModel(tiny_folder), tmp_path)
    model.finetuning_config().validation_split = 0
    model.finetuning_config().label_smoothing = label_smoothing
    with listening(lambda e: steps.append(e) if isinstance(e, StepEnded) else None):
        report = model.finetune(rows)
    lines = (report.output_dir / "row_losses.jsonl").read_text().splitlines()
    means = np.array([json.loads(line)["losses"] for line in lines])
    examples = encoded(model, rows)
    tokens = np.array([example.supervised for example in examples])
    total = sum(step.loss * step.supervised for step in steps)
    assert (means * tokens[:, None]).sum() == pytest.approx(total, rel=1e-4)


def encoded(model, rows):
    return encode(rows, model.engine.tokenizer, max_length=128).examples


def test_the_base_s_row_losses_do_not_depend_on_their_batches(model, rows, report):
    examples = encoded(model, rows)

    def means(batch_size):
        found = held_out_score(
            model.engine.model, examples, Supervised(pad_id=2), batch_size=batch_size
        )
        return found.rows.means()

    assert means(1) == pytest.approx(means(7), abs=1e-4)


def test_the_card_s_metadata_is_the_hub_s(card):
    _, front, _ = card.split("---\n", 2)
    found = yaml.safe_load(front)
    assert found["library_name"] == "peft"
    assert found["pipeline_tag"] == "text-generation"
    assert {"xturing", "lora"} <= set(found["tags"])
    # A folder of the user's is no base that the hub knows.
    assert "base_model" not in found


def test_the_card_has_the_numbers_of_the_report(card, written):
    found = written["verdict"]
    assert f"{found['base']:.4f} to {found['tuned']:.4f}" in card
    assert f"{written['trainable_parameters']:,} of {written['parameters']:,}" in card
    assert f"{len(ROWS)} rows of rows.json" in card


def test_the_card_holds_no_path(card, place, tiny_folder):
    for path in (place, tiny_folder, Path.home()):
        assert str(path) not in card
        assert path.name not in card or path == Path.home()
    assert "secret" not in card
    assert not re.search(r"(^|\s)[~/]\w", card.replace("</", ""))


def test_the_card_names_base_and_licence_of_a_family(tiny_folder):
    model = GenericModel(tiny_folder)
    known = {"checkpoint": "org/model", "licence": "Apache-2.0; ask for access"}
    family = model.variant.family.model_copy(update=known)
    model.variant = replace(model.variant, family=family)
    model._opening = replace(model._opening, base=Base(checkpoint="org/model"))
    found = origin(model, "the hub's org/rows")
    assert metadata(found) == {
        "base_model": "org/model",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["xturing"],
        "datasets": ["org/rows"],
        "license": "apache-2.0",
    }


def test_without_held_out_rows_no_verdict_is_given(tiny_model, rows):
    tiny_model.finetuning_config().validation_split = 0
    report = tiny_model.finetune(rows)
    assert report.verdict is None
    assert report.samples == ()
    assert "No rows were held out" in report.page.read_text()


def test_no_samples_are_written_if_so_set(tiny_model, rows, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("an answer was generated")

    monkeypatch.setattr("xturing.train.reporting.samples.generate", refuse)
    report = tiny_model.finetune(rows)
    assert report.self_stopping is None
    assert "Answers before and after" not in report.page.read_text()


def test_a_second_run_is_compared_with_the_base_and_not_with_the_first(
    tiny_model, rows, tmp_path
):
    first = tiny_model.finetune(rows)
    tiny_model.finetuning_config().output_dir = str(tmp_path / "second")
    second = tiny_model.finetune(rows)
    assert second.verdict.base == pytest.approx(first.verdict.base, abs=1e-6)
    assert second.loss_before == pytest.approx(first.loss_after, abs=1e-6)


def test_full_fine_tuning_is_compared_with_the_weights_before(tiny_full_model, rows):
    model = tiny_full_model
    base = held_out_loss(
        model.engine.model, encoded(model, rows), pad_id=2, batch_size=4
    )
    report = model.finetune(rows, eval_dataset=rows)
    assert report.verdict.base == pytest.approx(base.mean, abs=1e-6)


def test_the_model_is_saved_before_the_report_is_made__peer_theme_17(
    tiny_model, rows, monkeypatch
):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(looking.Look, "at_tuned", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tiny_model.finetune(rows)
    loaded = BaseModel.load(tiny_model.finetuning_config().output_dir)
    assert loaded.generate(texts="say fox") == tiny_model.generate(texts="say fox")


@pytest.mark.parametrize(("full", "step"), [(False, 10), (True, 4)])
def test_a_resumed_run_s_report_is_that_of_the_whole_run(
    tiny_folder, tmp_path, step, full
):
    changes = {"full": full, "report_samples": 2, "save_steps": step}
    runs = {name: run(tiny_folder, tmp_path / name, **changes) for name in "ab"}
    one = runs["a"].finetune(tiny.ROWS)
    kill_after(runs["b"], step)
    # As in a notebook: the model is not the base any more.
    other = runs["b"].finetune(tiny.ROWS, resume=True)
    assert (other.verdict, other.forensics) == (one.verdict, one.forensics)
    assert other.samples == one.samples
    ours, theirs = (
        (tmp_path / name / "row_losses.jsonl").read_bytes() for name in "ab"
    )
    assert ours == theirs


@pytest.mark.parametrize("changes", [{"report": True}, {"report_samples": 1}])
def test_what_is_reported_may_change_when_a_run_is_resumed(
    tiny_folder, tmp_path, changes
):
    folder, first = tmp_path / "run", {"report_samples": 2, "save_steps": 10}
    off = {"report": "report" not in changes}
    kill_after(run(tiny_folder, folder, **first, **off), 10)
    report = run(tiny_folder, folder, **first | changes).finetune(
        tiny.ROWS, resume=True
    )
    assert len(report.samples) == (2 if off["report"] else 0)
    assert report.verdict.base == pytest.approx(report.loss_before)
    assert report.page.is_file()


def preferred(folder, output, name) -> tuple[FinetuneReport, BaseModel]:
    model = GenericLoraModel(folder)
    config = model.finetuning_config()
    config.output_dir, config.max_length = str(output), 128
    config.objective, config.learning_rate = name, 1e-2
    config.batch_size, config.num_train_epochs = 4, 5
    config.report_samples, config.validation_split = 2, 0.4
    model.generation_config().max_new_tokens = 8
    return model.finetune(OPEN[name](PREFERENCES[name])), model


@pytest.mark.parametrize("name", ["dpo", "orpo", "kto"])
def test_preferences_are_judged_by_pairs_or_judgements(tiny_folder, tmp_path, name):
    report, _ = preferred(tiny_folder, tmp_path / "out", name)
    assert report.verdict.measure == {"kto": "judgement"}.get(name, "pair")
    assert report.verdict.base == pytest.approx(report.loss_before, rel=1e-5)
    assert report.verdict.tuned == pytest.approx(report.loss_after, rel=1e-5)
    assert report.verdict.rows == report.validation_ledger.rows
    assert report.forensics.epochs == 0
    shown = report.page.read_text()
    assert f"{report.comparison_before.accuracy:.1%}" in shown
    assert f"{report.comparison_after.margin:.4f}" in shown
    assert f"nats a {report.measure}" in shown
    assert report.samples


def test_preferences_are_compared_with_the_base_in_a_second_run(tiny_folder, tmp_path):
    first, model = preferred(tiny_folder, tmp_path / "out", "orpo")
    model.finetuning_config().output_dir = str(tmp_path / "second")
    second = model.finetune(PreferenceDataset(PREFERENCES["orpo"]))
    assert second.verdict.base == pytest.approx(first.verdict.base, abs=1e-6)
    assert second.loss_before == pytest.approx(first.loss_after, abs=1e-6)


def test_a_report_that_is_switched_off_is_not_made(tiny_model, rows, monkeypatch):
    config = tiny_model.finetuning_config()
    config.report, config.report_samples = False, 3
    report = tiny_model.finetune(rows)
    assert report.page is None
    assert report.verdict is None
    left = {path.name for path in report.output_dir.iterdir()}
    assert not left & {"report.html", "report.md", "row_losses.jsonl"}
    assert {"report.json", "ledger.json", "xturing.json"} <= left


def test_what_others_add_is_in_every_paper(report):
    choice = Choice(name="threads", value="2", reason="1.9 times as fast as 1")
    topic = Topic(
        title="Plan and fact",
        sentences=("It was foretold.",),
        columns=("", "plan", "fact"),
        rows=(("seconds", "10", "11"),),
    )
    added = replace(report, choices=(*report.choices, choice), topics=(topic,))
    found = sections(added)
    for paper in (html_page("t", found), markdown.text("t", found)):
        for words in (choice.reason, topic.title, *topic.sentences, *topic.rows[0]):
            assert words in paper
    assert added.as_dict()["topics"] == (asdict(topic),)


def test_what_was_chosen_is_told_with_its_reason(written, page):
    assert written["choices"][0] == {
        "name": "objective",
        "value": "sft",
        "reason": "the rows are of the kind instruction",
    }
    assert "the rows are of the kind instruction" in page


def test_a_disk_that_is_full_at_the_end_costs_the_report_alone__peer_theme_17(
    tiny_model, rows, monkeypatch
):
    def fill(*_):
        raise OutputError("The disk is full.")

    monkeypatch.setattr(finetuning, "write_papers", fill)
    with pytest.raises(OutputError, match="The tuned model is whole, in .*out"):
        tiny_model.finetune(rows)
    assert BaseModel.load(tiny_model.finetuning_config().output_dir)


def test_row_losses_need_no_forward_pass_of_their_own(tiny_model, rows, monkeypatch):
    passes = {}
    for report in (True, False):
        model = GenericLoraModel(tiny_model.base_folder)
        configured(model, Path(tiny_model.finetuning_config().output_dir) / str(report))
        model.finetuning_config().report = report
        model.finetuning_config().report_samples = 0
        count = passes[report] = []
        model.engine.model.register_forward_hook(lambda *_, c=count: c.append(1))
        model.finetune(rows)
    assert len(passes[True]) == len(passes[False])
