"""The report of an evaluation: what it says, how it is written, and what it refuses."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.files import read_jsonl
from xturing.eval.questions import Likelihood, Outcome, Question, Written
from xturing.eval.reporting import wording
from xturing.eval.reporting.content import sections
from xturing.eval.reporting.papers import write_papers
from xturing.eval.reporting.report_json import (
    as_dict,
    plain,
    write_report,
    write_rows,
)
from xturing.eval.results import (
    Compared,
    Comparison,
    Contaminated,
    Contamination,
    Evaluation,
    GateFailure,
    Result,
    Score,
)

HOSTILE = '<script>alert("1")</script>|`*[x](http://a.b)&amp;\x00\x1b]]>\ud800```\n# y'
ROWS = 20


def score(name="exact_match", value=0.5, *, metric=None, **changed) -> Score:
    values = {
        "low": value - 0.1,
        "high": value + 0.1,
        "rows": ROWS,
        "higher_is_better": True,
        "is_share": False,
        **changed,
    }
    return Score(metric=metric or name, name=name, value=value, **values)


def right(value=0.5, **changed) -> Score:
    return score(value=value, is_share=True, **changed)


def loss(value=1.5, **changed) -> Score:
    return score("loss", value, higher_is_better=False, **changed)


def comparison(name="exact_match", base=0.5, other=0.75, **changed) -> Comparison:
    values = {
        "low": other - base - 0.1,
        "high": other - base + 0.1,
        "rows": ROWS,
        "higher_is_better": True,
        **changed,
    }
    return Comparison(name=name, base=base, other=other, **values)


def compared(*comparisons, **changed) -> Compared:
    values = {"sentence": "tuned is better: it says so.", **changed}
    found = comparisons or (comparison(gained=7, lost=2, p_value=0.00001),)
    return Compared(base="base", other="tuned", comparisons=found, **values)


def likelihood(nats, tokens=4) -> Likelihood:
    return Likelihood(nats=nats, tokens=tokens, bytes=4 * tokens, is_likeliest=False)


def outcome(row, nats, *, answer="an answer", prompt="say it", **changed) -> Outcome:
    question = Question(
        row=row, place=f"rows.jsonl, line {row + 1}", prompt=prompt, reference="ref"
    )
    written = Written(text=answer, tokens=3, stopped=True)
    values = {
        "answers": (written,),
        "reference": likelihood(nats, 4 + row),
        **changed,
    }
    return Outcome(question=question, **values)


def outcomes(nats=1.0, **changed) -> tuple[Outcome, ...]:
    return tuple(outcome(row, nats + row, **changed) for row in range(ROWS))


def result(model="base", *scores, **changed) -> Result:
    values = {"outcomes": outcomes(), "fingerprint": f"{model}-f00d", **changed}
    return Result(model=model, scores=scores or (right(), loss()), **values)


def evaluation(*results, **changed) -> Evaluation:
    values = {
        "task": "greetings",
        "version": "1",
        "data": "rows.jsonl",
        "rows": ROWS,
        "settings": {"max_new_tokens": 64, "metrics": ["exact_match", "loss"]},
        "environment": {"torch": "2.8", "device": "cpu"},
        "seed": 7,
        **changed,
    }
    return Evaluation(results=results or (result(),), **values)


def whole(words="plain") -> Evaluation:
    """Return an evaluation that has everything, with these words in all places."""
    contamination = Contamination(
        training=words,
        rows=3,
        found=(Contaminated(place=words, source=words, fraction=0.75),),
    )
    general = comparison("general_loss", 3.0, 3.5, higher_is_better=False)
    theirs = {"answer": words, "prompt": words}
    base = result(
        "base",
        right(0.5),
        score("rouge1", math.nan, low=math.nan, high=math.nan),
        loss(),
        outcomes=outcomes(3.0, **theirs),
        forgetting=score("general_loss", 3.0),
    )
    tuned = result(
        words,
        right(0.75),
        score("rouge1", 0.25),
        loss(0.75),
        outcomes=outcomes(1.0, **theirs),
        forgetting=score("general_loss", 3.5),
        contamination=contamination,
    )
    return evaluation(
        base,
        tuned,
        task=words,
        data=words,
        compared=(
            compared(
                comparison(gained=7, lost=2, p_value=0.04),
                comparison("rouge1", math.nan, 0.25, low=math.nan, high=math.nan),
                forgetting=general,
                sentence=words,
            ),
        ),
        failures=(GateFailure(condition=words, reason=words),),
        settings={
            words: words,
            "limit": None,
            "metrics": {"exact_match": {}, "labels": {}},
        },
        environment={"torch": words},
    )


def chosen(right_nats, wrong_nats, row=0) -> Outcome:
    question = Question(
        row=row, place=f"row {row}", prompt="?", choices=("yes", "no"), right=0
    )
    choices = likelihood(right_nats), likelihood(wrong_nats)
    return Outcome(question=question, choices=choices)


def titles(given: Evaluation) -> list[str]:
    return [section.title for section in sections(given)]


def section(given: Evaluation, title: str) -> str:
    """Return a section of the report in Markdown."""
    return written(given)[1].partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def cells(given: Evaluation, title: str) -> list[list[str]]:
    """Return the cells of a section's tables, their headings left out."""
    lines = section(given, title).split("\n")
    rows = [line[2:-2].split(" | ") for line in lines if line.startswith("| ")]
    heads = {at - 1 for at, line in enumerate(lines) if line.startswith("|---")}
    headings = [lines[at][2:-2].split(" | ") for at in heads]
    return [row for row in rows if row not in headings]


def written(given: Evaluation) -> tuple[str, str]:
    """Return the page and the Markdown of an evaluation's report."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_papers(folder, given)
        page, text = folder / "report.html", folder / "report.md"
        return page.read_text(), text.read_text()


def parsed(page: str) -> ElementTree.Element:
    """Return a page as XML, which our pages are but for their first line."""
    return ElementTree.fromstring(page.partition("\n")[2])


def strictly(text: str):
    """Return what strict JSON says: numbers that are none are refused."""

    def refuse(word):
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse)


def test_an_evaluation_that_has_everything_has_every_section_in_order():
    assert titles(whole()) == [
        "Verdict",
        "Scores",
        "Differences",
        "Forgetting",
        "Loss by length of the answer",
        "Answers side by side",
        "Rows to look at",
        "Contamination",
        "Confusions",
        "Settings and environment",
    ]


def test_a_report_of_one_model_compares_nothing():
    found = titles(evaluation())
    assert found[:2] == ["Verdict", "Scores"]
    assert "Answers" in found
    assert not {"Differences", "Forgetting", "Answers side by side"} & {*found}


def test_without_outcomes_figures_and_settings_are_left():
    found = titles(evaluation(result(outcomes=())))
    assert found == ["Verdict", "Scores", "Settings and environment"]


def test_the_verdict_is_the_sentence_of_each_comparison():
    given = evaluation(result(), result("tuned"), compared=(compared(),))
    assert section(given, "Verdict").strip() == "tuned is better: it says so."


def test_without_a_comparison_the_verdict_is_the_main_figure_with_its_interval():
    assert section(evaluation(), "Verdict").strip() == (
        "exact_match of base is 50.0% over 20 rows (95% interval 40.0% to 60.0%)."
    )


def test_a_main_figure_that_is_not_defined_is_not_a_number_in_the_verdict():
    given = evaluation(result("base", right(math.nan)))
    said = section(given, "Verdict").strip()
    assert said == "exact_match of base is not defined over 20 rows."


def test_the_verdict_over_too_few_rows_says_how_little_they_tell():
    said = section(evaluation(result("base", right(rows=4))), "Verdict")
    assert "fewer than 5 rows tell little of others" in said


def test_the_verdict_names_each_gate_that_failed():
    failure = GateFailure(condition="exact-match=0.8", reason="it is 0.5 for base")
    said = section(evaluation(failures=(failure,)), "Verdict")
    assert 'The condition "exact-match=0.8" is not met: it is 0.5 for base.' in said


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (3, "3 of the 20 rows stand, wholly or in part, in chats.jsonl, on which base"),
        (1, "1 of the 20 rows stands, wholly or in part, in chats.jsonl, on which"),
        (0, "None of the 20 rows stands in chats.jsonl, on which base was trained."),
        (None, "could not be found out: the file is gone."),
    ],
)
def test_the_verdict_says_whether_a_model_was_trained_on_the_rows(rows, sentence):
    found = Contamination(training="chats.jsonl", rows=rows, reason="the file is gone.")
    given = evaluation(result(contamination=found))
    assert sentence in section(given, "Verdict")
    assert sentence in section(given, "Contamination")


def test_the_rows_that_training_data_has_are_listed():
    assert cells(whole(), "Contamination") == [["plain", "plain", "75.0%"]]


def test_scores_are_a_row_for_each_figure_and_model():
    given = evaluation(result("base", right(), loss()), result("tuned", right(0.75)))
    # The first two rows are the bars, which are a table in Markdown.
    assert cells(given, "Scores")[2:] == [
        ["exact_match", "base", "50.0%", "40.0% to 60.0%", "20", "higher"],
        ["exact_match", "tuned", "75.0%", "65.0% to 85.0%", "20", "higher"],
        ["loss", "base", "1.5000", "1.4000 to 1.6000", "20", "lower"],
    ]


def bars_of(*scores) -> int:
    page = written(evaluation(result("base", *scores)))[0]
    return len(re.findall("<g><title>", page))


def test_figures_from_0_to_1_are_drawn_as_bars():
    assert bars_of(right(), score("rouge1"), score("f1", 0.9)) == 3


@pytest.mark.parametrize(
    "other",
    [
        score("similarity", -0.5),
        loss(0.5),
        score("bleu", 0.5),
        score("bleu", 20.0),
        score("f1", math.nan),
        score("f1", math.inf),
    ],
    ids=lambda each: f"{each.name}={each.value}",
)
def test_figures_on_another_scale_are_not_drawn_beside_those(other):
    assert bars_of(right(), other) == 1


def test_a_score_that_is_not_defined_says_so():
    given = evaluation(result("base", score("f1", math.nan)))
    assert cells(given, "Scores") == [
        ["f1", "base", "not defined", "not defined", "20", "higher"]
    ]


def test_a_difference_of_shares_is_in_points_and_that_of_losses_in_nats():
    given = evaluation(
        result("base", right(), loss()),
        result("tuned", right(), loss()),
        compared=(
            compared(
                comparison(gained=7, lost=2, p_value=0.00001),
                comparison("loss", 1.5, 1.25, higher_is_better=False),
            ),
        ),
    )
    share = "50.0%|75.0%|+25.0 points|+15.0 to +35.0 points|7 / 2|below 0.0001|better"
    nats = "1.5000|1.2500|-0.2500|-0.3500 to -0.1500|-|-|better"
    assert cells(given, "Differences") == [
        ["exact_match", *share.split("|")],
        ["loss", *nats.split("|")],
    ]


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (3.5, "tuned has forgotten something: on general text, its loss is 3.5000"),
        (2.5, "tuned has forgotten nothing"),
        (3.0, "tuned is not shown to have forgotten anything"),
    ],
)
def test_forgetting_is_said_in_words(other, sentence):
    general = comparison("general_loss", 3.0, other, higher_is_better=False)
    given = evaluation(
        result(forgetting=score("general_loss", 3.0)),
        result("tuned"),
        compared=(compared(forgetting=general),),
    )
    assert sentence in section(given, "Forgetting")
    assert cells(given, "Forgetting")[1] == ["tuned", "-", "-"]


def test_forgetting_of_models_with_other_tokens_is_in_bits_a_byte():
    general = comparison("bits_per_byte", 1.0, 2.0, higher_is_better=False)
    given = evaluation(
        result(forgetting=score("loss", 3.0)),
        result("tuned"),
        compared=(compared(forgetting=general),),
    )
    assert "its loss is 2.0000 bits a byte" in section(given, "Forgetting")


def test_losses_by_length_are_means_over_the_tokens_of_bins_of_the_same_rows():
    given = evaluation(result(), result("tuned", outcomes=outcomes(3.0)))
    # 20 rows of 4 to 23 tokens are 4 bins of 5; the loss of row n is n + 1 or n + 3.
    expected = [
        [name, str(start + 6), f"{(5 * (start + 2 + first)) / (5 * (start + 6)):.6g}"]
        for name, first in (("base", 1), ("tuned", 3))
        for start in (0, 5, 10, 15)
    ]
    assert cells(given, "Loss by length of the answer") == expected


def test_losses_of_models_with_other_tokens_come_with_a_warning():
    longer = tuple(
        replace(each, reference=likelihood(1.0, 9 + each.question.row))
        for each in outcomes()
    )
    given = evaluation(result(), result("tuned", outcomes=longer))
    said = section(given, "Loss by length of the answer")
    assert "cannot be compared. Lengths are those of base." in said


@pytest.mark.parametrize("reference", [None, likelihood(math.inf), likelihood(1.0)])
def test_references_of_which_length_tells_nothing_have_no_curve(reference):
    # They are unknown, impossible to the model, or all of the same length.
    rows = tuple(replace(each, reference=reference) for each in outcomes())
    assert "Loss by length of the answer" not in titles(
        evaluation(result(outcomes=rows))
    )


def test_answers_are_shown_of_rows_on_which_models_differ_most():
    other = [*outcomes()]
    # Of 68 and 36 bytes, by which the losses are divided.
    for row, nats in ((13, 90.0), (5, 60.0)):
        other[row] = outcome(row, nats)
    given = evaluation(result(), result("tuned", outcomes=tuple(other)))
    said = section(given, "Answers side by side")
    places = re.findall(r"rows.jsonl, line (\d+)", said)
    assert places == ["6", "14"]


def test_answers_of_models_that_cannot_be_told_apart_are_of_the_first_rows():
    said = section(evaluation(), "Answers")
    assert re.findall(r"rows.jsonl, line (\d+)", said) == ["1", "2", "3", "4", "5"]


def test_an_answer_that_was_cut_says_so():
    cut = Written(text="and so on", tokens=64, stopped=False)
    rows = (outcome(0, 1.0, answers=(cut, cut)),)
    said = section(evaluation(result(outcomes=rows)), "Answers")
    title = "base, the first of 2 answers, cut after 64 tokens"
    assert f"{title}, loss of the reference 0.2500:" in said


def test_messages_are_shown_with_their_roles():
    prompt = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "say it"},
    ]
    said = section(evaluation(result(outcomes=outcomes(prompt=prompt))), "Answers")
    assert "system: be brief\n\nuser: say it" in said


def test_a_call_of_a_tool_is_shown_as_it_is():
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": "now"}]}
    given = Question(row=0, place="", prompt=[{"role": "user", "content": "?"}, call])
    assert '"tool_calls": [{"name": "now"}]' in wording.prompt(given)


def test_the_references_that_the_last_model_finds_least_likely_come_first():
    last = result("tuned", loss(), outcomes=outcomes(0.0))
    rows = cells(evaluation(result(), last), "Rows to look at")
    assert len(rows) == 10
    assert rows[0] == ["rows.jsonl, line 20", "say it", "23", f"{19 / 23:.4f}"]
    losses = [float(row[-1]) for row in rows]
    assert losses == sorted(losses, reverse=True)


def test_wrong_choices_are_listed_beside_the_right_ones():
    rows = tuple(chosen(row, 1.5, row) for row in range(4))
    given = evaluation(result("base", score("accuracy"), outcomes=rows))
    said = section(given, "Rows to look at")
    assert "wrong in 2 of 4 rows" in said
    assert cells(given, "Rows to look at") == [
        ["row 2", "?", "yes", "no"],
        ["row 3", "?", "yes", "no"],
    ]


def test_wrong_answers_are_those_that_the_metric_finds_wrong():
    rows = (
        outcome(0, 1.0, answer=" REF", reference=None),
        outcome(1, 1.0, answer="no", reference=None),
    )
    strict, lenient = (
        evaluation(result(outcomes=rows), settings={"metrics": {"exact_match": how}})
        for how in ({}, {"normalise": "label"})
    )
    assert "2 of 2 answers of base are wrong." in section(strict, "Rows to look at")
    listed = cells(lenient, "Rows to look at")
    assert listed == [["rows.jsonl, line 2", "say it", "ref", "no"]]


def test_answers_are_not_wrong_if_no_metric_says_so():
    rows = (outcome(0, 1.0, answer="no", reference=None),)
    for settings in ({}, {"metrics": {"rouge": {}}}):
        given = evaluation(result(outcomes=rows), settings=settings)
        assert "Rows to look at" not in titles(given)


def test_confusions_are_counted_for_each_label_and_model():
    def labelled(*pairs) -> tuple[Outcome, ...]:
        return tuple(
            replace(each, question=replace(each.question, reference=reference))
            for row, (reference, answer) in enumerate(pairs)
            for each in [outcome(row, 1.0, answer=answer)]
        )

    rows = labelled(("yes", "yes"), ("yes", "No."), ("no", "no"), ("no", "perhaps"))
    given = evaluation(
        result("base", right(metric="labels"), outcomes=rows),
        settings={"metrics": {"labels": {}}},
    )
    found = section(given, "Confusions")
    assert "| right | no | yes | no label |" in found
    assert cells(given, "Confusions") == [["no", "1", "0", "1"], ["yes", "1", "1", "0"]]


def test_long_texts_are_cut_in_tables():
    rows = outcomes(prompt="word " * 100)
    found = cells(evaluation(result(outcomes=rows)), "Rows to look at")[0][1]
    assert len(found) == wording.BEGINNING
    assert found.endswith("\N{HORIZONTAL ELLIPSIS}")


def test_settings_are_shown_with_words_for_those_that_are_not_set():
    given = evaluation(settings={"limit": None, "greedy": True, "stop": ["a"]})
    found = cells(given, "Settings and environment")
    assert ["limit", "-"] in found
    assert ["greedy", "true"] in found
    assert ["seed", "7"] in found
    assert ["base", "base-f00d"] in found


@given(st.floats(), st.booleans())
def test_no_number_is_written_as_nan(value, is_share):
    said = [
        wording.number(value, is_share=is_share),
        wording.change(value, is_share=is_share),
        wording.interval(value, value, is_share=is_share),
        wording.changes(value, value, is_share=is_share),
        wording.chance(value),
    ]
    assert not any("nan" in each for each in said)


@pytest.mark.parametrize("words", [HOSTILE, "</pre><img src=x>", "'\" onload=a"])
def test_nothing_in_an_evaluation_becomes_markup_of_the_page(words):
    made, plain_page = (parsed(written(whole(each))[0]) for each in (words, "plain"))
    assert [(e.tag, sorted(e.attrib)) for e in made.iter()] == [
        (e.tag, sorted(e.attrib)) for e in plain_page.iter()
    ]


def test_hostile_words_are_in_no_table_or_heading_of_the_markdown_as_they_are():
    text = written(whole(HOSTILE))[1]
    fenced = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", text)
    assert "<script" not in fenced.replace("\\<", "")
    assert "[x](" not in fenced
    lines = fenced.split("\n")
    assert [line for line in lines if line.startswith("# ")] == lines[:1]


def test_a_page_asks_for_nothing_outside_itself():
    page = written(whole())[0]
    assert "default-src 'none'" in page
    for word in ("<script", "<link", "<img", "src=", "href=", "url(", "@import"):
        assert word not in page
    addresses = {*re.findall(r"https?://[^\"]*", page)}
    assert addresses == {"http://www.w3.org/2000/svg"}


def test_equal_evaluations_give_the_same_bytes(tmp_path):
    def files(given: Evaluation) -> list[bytes]:
        write_papers(tmp_path, given)
        write_report(tmp_path / "report.json", given)
        write_rows(tmp_path / "rows.jsonl", given)
        found = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
        assert len(found) == 4
        return found

    one = whole()
    turned = dict(reversed(one.settings.items()))
    assert files(one) == files(replace(whole(), settings=turned))


def test_the_json_has_what_is_derived_too():
    given = evaluation(result(), result("tuned"), compared=(compared(),))
    found = as_dict(given)
    assert found["schema_version"] == 1
    (held,) = found["compared"]
    assert held["verdict"] == "better"
    assert held["sentence"] == "tuned is better: it says so."
    (figure,) = held["comparisons"]
    assert (figure["difference"], figure["p_value"]) == (0.25, 0.00001)
    assert figure["verdict"] == "better"


def test_every_field_of_a_score_is_in_the_json():
    found = as_dict(evaluation(result("base", right())))["results"][0]["scores"]
    assert found == [
        {
            "metric": "exact_match",
            "name": "exact_match",
            "value": 0.5,
            "low": 0.4,
            "high": 0.6,
            "rows": 20,
            "higher_is_better": True,
            "is_share": True,
        }
    ]


def test_the_json_is_strict_and_names_the_figures_that_are_not_defined(tmp_path):
    report = tmp_path / "report.json"
    write_report(report, whole("tuned"))
    found = strictly(report.read_text())
    assert found["undefined"] == ["base: rouge1", "tuned against base: rouge1"]
    assert found["results"][0]["scores"][1]["value"] is None
    assert found["results"][0]["forgetting"]["value"] == 3.0


def test_the_json_is_the_dictionary_whatever_words_are_in_it(tmp_path):
    report = tmp_path / "report.json"
    given = whole(HOSTILE)
    write_report(report, given)
    assert strictly(report.read_text()) == as_dict(given)


def test_a_line_of_the_rows_has_what_each_model_made_of_the_question(tmp_path):
    rows_file = tmp_path / "rows.jsonl"
    write_rows(rows_file, whole(HOSTILE))
    lines = [line for _, line in read_jsonl(rows_file)]
    assert len(lines) == ROWS
    assert lines[1] == {
        "row": 1,
        "place": "rows.jsonl, line 2",
        "prompt": HOSTILE,
        "reference": "ref",
        "choices": [],
        "right": None,
        "fields": {},
        "models": [
            {
                "model": model,
                "answers": [{"text": HOSTILE, "tokens": 3, "stopped": True}],
                "reference": {
                    "nats": nats,
                    "tokens": 5,
                    "bytes": 20,
                    "is_likeliest": False,
                },
                "choices": [],
            }
            for model, nats in (("base", 4.0), (HOSTILE, 2.0))
        ],
    }


def test_choices_are_written_with_their_likelihoods(tmp_path):
    rows_file = tmp_path / "rows.jsonl"
    rows = (chosen(0.0, math.inf),)
    write_rows(rows_file, evaluation(result(outcomes=rows)))
    found = strictly(rows_file.read_text())
    assert found["choices"] == ["yes", "no"]
    nats = [choice["nats"] for choice in found["models"][0]["choices"]]
    assert nats == [0.0, None]


def test_two_models_of_one_name_both_have_their_answers(tmp_path):
    rows_file = tmp_path / "rows.jsonl"
    write_rows(rows_file, evaluation(result(), result()))
    found = strictly(rows_file.read_text().partition("\n")[0])
    assert [each["model"] for each in found["models"]] == ["base", "base"]


numbers = st.one_of(st.floats(), st.integers(-9, 9), st.booleans(), st.none())
values = st.recursive(
    numbers | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
def test_any_settings_become_strict_json(given_values):
    found = plain(given_values)
    assert strictly(json.dumps(found)) == found


def test_numbers_of_numpy_and_paths_become_those_of_json():
    given_values = {"b": np.int64(3), "a": np.float32(0.5), "c": Path("x")}
    assert json.dumps(plain(given_values)) == '{"a": 0.5, "b": 3, "c": "x"}'


def test_a_difference_that_is_not_defined_shows_none():
    assert comparison("f1", math.nan, 0.5, low=0.1, high=0.2).verdict == (
        "no difference shown"
    )
    undefined = comparison("f1", 0.1, 0.5, low=math.nan, high=math.nan)
    assert undefined.verdict == "no difference shown"
