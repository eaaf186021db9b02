"""The lm-evaluation-harness on our models: its own numbers, and nothing left behind."""

import json
import logging
import os
import random
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import lm_eval.tasks
import numpy as np
import pytest
import torch
import yaml
from lm_eval.api.instance import Instance
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tiny import tokenizer_that_adds_tokens

from xturing.core.errors import (
    DataError,
    MissingDependencyError,
    ModelError,
    SettingsError,
    UnknownNameError,
)
from xturing.core.events import Event, Notice, listening
from xturing.core.files import read_jsonl
from xturing.eval.events import Advanced
from xturing.eval.harness import XTuringLM, compare_harness, opening, run_harness
from xturing.models import BaseModel, GenericModel

LONG = "the quick brown fox jumps over the lazy dog and says hello to the world. " * 40
SCORED = [
    ("what is the capital of france?", " paris"),
    ("what is the capital of france?", " london is the capital"),
    ("what is the capital of france? ", "paris"),
    ("", "hello"),
    ("", "hello to the world"),
    ("<|im_start|>user", " says"),
    (LONG, "hello"),
    (LONG, " the lazy dog"),
    ("a", LONG[:300]),
]
TEXTS = ["hello to the world", "", "x", LONG, LONG * 2]
CONTINUED = ["say dog", "what is 1 plus 2?", "<|im_start|>user", LONG[50:77], LONG]
CHAT = [
    {"role": "system", "content": "be short"},
    {"role": "user", "content": "say dog"},
]
CHOICES = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "choices",
    "doc_to_target": "right",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
}
ANSWERS = {
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{choices[right]}}",
    "generation_kwargs": {"until": ["\n", " is"], "max_gen_toks": 12},
    "metric_list": [{"metric": "exact_match"}],
    "filter_list": [
        {
            "name": "first-word",
            "filter": [
                {"function": "regex", "regex_pattern": "([a-z]+)"},
                {"function": "take_first"},
            ],
        }
    ],
}
ROWS = [
    {"question": f"{a} and {b}:", "choices": [b, a, "it is"], "right": len(a) % 3}
    for a in ("fox", "lazy", "brown", "hello")
    for b in ("dog", "world", "paris")
]


def requests(arguments: Iterable[tuple[Any, ...]]) -> list[Instance]:
    return [
        Instance(request_type="loglikelihood", doc={}, arguments=each, idx=0)
        for each in arguments
    ]


def prompts(texts: Iterable[str], **options: Any) -> list[Instance]:
    return requests((text, dict(options)) for text in texts)


def of_lm_eval(model: BaseModel, batch_size: int = 1) -> HFLM:
    """Return lm-eval's own class for the same weights and tokenizer."""
    return HFLM(
        pretrained=model.engine.model,
        tokenizer=model.engine.tokenizer,
        batch_size=batch_size,
    )


def task(folder: Path, name: str, rows: list[dict[str, Any]], **config: Any) -> str:
    """Write a task, with its rows beside it, and return its path."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    path = folder / f"{name}.yaml"
    files = {"dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}}}
    head = {"task": name, "dataset_path": "json", "test_split": "test"}
    path.write_text(yaml.safe_dump(head | files | config), encoding="utf-8")
    return str(path)


def found_by_lm_eval(lm: HFLM, paths: Iterable[str]) -> dict[str, Any]:
    """Return what lm-eval finds by itself, without a class of ours."""
    configs = []
    for path in map(Path, paths):
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        config["dataset_kwargs"]["data_files"] = str(path.with_suffix(".jsonl"))
        configs.append(config | {"test_split": "train", "num_fewshot": 0})
    loaded = TaskManager(include_defaults=False).load(configs)
    return evaluate(lm, loaded, bootstrap_iters=100)


def replies(samples: Iterable[Any]) -> list[Any]:
    return [sample["resps"] for sample in samples]


def heard(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


@pytest.fixture(scope="module", params=["tiny_folder", "tiny_gpt2_folder"])
def model(request: pytest.FixtureRequest) -> BaseModel:
    return GenericModel(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def llama(tiny_folder: Path) -> BaseModel:
    return GenericModel(tiny_folder)


@pytest.fixture(autouse=True)
def rows_are_cached_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody answer, and lm-eval know of few tasks, which takes it no time."""
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")
    folder = Path(lm_eval.tasks.__file__).parent / "hellaswag"
    manager = TaskManager(include_path=folder, include_defaults=False)
    monkeypatch.setattr(opening, "bundled", lambda: manager)


@pytest.mark.parametrize("batch_size", [None, 1, 4])
def test_likelihoods_are_those_of_lm_eval_s_own_class(model, batch_size):
    ours = XTuringLM(model, batch_size=batch_size).loglikelihood(requests(SCORED))
    theirs = of_lm_eval(model).loglikelihood(requests(SCORED), disable_tqdm=True)
    assert [n for n, _ in ours] == pytest.approx([n for n, _ in theirs], abs=1e-4)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]


def test_what_greedy_decoding_writes_is_told(model):
    lm = XTuringLM(model)
    ids = lm.tok_encode("say dog")
    written = model.engine.model.generate(torch.tensor([ids]), max_new_tokens=3)
    likeliest = written[0, len(ids) :].tolist()
    other = [*likeliest[:-1], (likeliest[-1] + 1) % 400]
    found = lm._loglikelihood_tokens([(None, ids, likeliest), (None, ids, other)])
    assert [greedy for _, greedy in found] == [True, False]


def test_whole_texts_are_as_likely_as_to_lm_eval_s_own_class(model):
    asked = requests((text,) for text in TEXTS)
    ours = XTuringLM(model).loglikelihood_rolling(asked)
    theirs = of_lm_eval(model, 4).loglikelihood_rolling(asked, disable_tqdm=True)
    assert ours == pytest.approx(theirs, abs=1e-4, rel=1e-6)


@pytest.mark.parametrize("until", [[], [" is", "ll", "quick", "or"]])
def test_answers_are_those_of_lm_eval_s_own_class(model, until):
    asked = prompts(CONTINUED, until=until, max_gen_toks=16)
    ours = XTuringLM(model, batch_size=2).generate_until(asked)
    assert ours == of_lm_eval(model).generate_until(asked, disable_tqdm=True)


def test_tokens_that_a_tokenizer_adds_are_there_as_for_lm_eval_s_own_class(
    tiny_full_model,
):
    tiny_full_model.engine.tokenizer = tokenizer_that_adds_tokens()
    asked, texts = requests(SCORED[:6]), prompts(CONTINUED[:3], max_gen_toks=6)
    ours, theirs = XTuringLM(tiny_full_model), of_lm_eval(tiny_full_model)
    expected = theirs.loglikelihood(asked, disable_tqdm=True)
    found = ours.loglikelihood(asked)
    assert [n for n, _ in found] == pytest.approx([n for n, _ in expected], abs=1e-4)
    assert ours.generate_until(texts) == theirs.generate_until(texts, disable_tqdm=True)


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False, "temperature": 0.7, "top_p": 0.5},
        {"do_sample": True, "temperature": 0},
        {"temperature": 0.0},
    ],
)
def test_answers_are_greedy_unless_there_is_a_temperature(llama, options):
    lm = XTuringLM(llama)
    drawn = lm.generate_until(prompts(CONTINUED[:2], max_gen_toks=8, **options))
    assert drawn == lm.generate_until(prompts(CONTINUED[:2], max_gen_toks=8))


def test_answers_are_drawn_at_a_temperature(llama):
    lm = XTuringLM(llama)
    asked = prompts(["say dog"] * 4, max_gen_toks=8, temperature=2.0)
    with torch.random.fork_rng():
        assert len(set(lm.generate_until(asked))) > 1


def test_requests_of_different_manners_are_answered_in_order(llama):
    lm = XTuringLM(llama)
    short, long = {"max_gen_toks": 2, "until": []}, {"max_gen_toks": 9, "until": []}
    options = [short, long, short, long, long]
    mixed = lm.generate_until(requests(zip(CONTINUED, options, strict=True)))
    apart = [
        lm.generate_until(prompts([t], **o))
        for t, o in zip(CONTINUED, options, strict=True)
    ]
    assert mixed == [text for (text,) in apart]


def test_a_model_writes_no_further_than_its_stop_strings(llama):
    lm = XTuringLM(llama)
    texts = ["say dog", "what is 1 plus 2?", "hello"]
    written = lm.generate_until(prompts(texts, max_gen_toks=12))
    # Each has one of its own, so that none stops all of the batch.
    stops = [re.findall("[a-z]{2,}", text)[0] for text in written]
    steps = []
    hook = llama.engine.model.register_forward_hook(lambda *_: steps.append(1))
    try:
        lm.generate_until(prompts(texts, until=stops, max_gen_toks=200))
    finally:
        hook.remove()
    assert len(steps) <= 12


def test_an_empty_context_is_the_start_token(model):
    lm = XTuringLM(model)
    start = model.engine.tokenizer.bos_token
    (bare, _), (started, _) = lm.loglikelihood(
        requests([("", "hello"), (start, "hello")])
    )
    assert bare == pytest.approx(started)
    continued, expected = lm.generate_until(prompts(["", start], max_gen_toks=6))
    assert continued == expected


def test_what_is_cut_is_told(llama):
    lm, events = XTuringLM(llama), []
    with listening(events.append):
        lm.loglikelihood(requests(SCORED))
        lm.generate_until(prompts(CONTINUED, max_gen_toks=4))
    assert [text.partition(" requests were cut")[0] for text in heard(events)] == [
        "2 of 9",
        "1 of 5",
    ]


def test_what_fits_exactly_is_not_cut(llama):
    lm, events = XTuringLM(llama), []
    with listening(events.append):
        # The last token need not be read.
        lm._loglikelihood_tokens([(None, [5] * 500, [6] * 13)])
        lm._loglikelihood_tokens([(None, [5] * 501, [6] * 13)])
    assert len(heard(events)) == 1


@pytest.mark.parametrize("pair", [("hello", ""), ("", ""), ("", "<|im_start|>")])
def test_an_empty_continuation_is_refused(llama, pair):
    with pytest.raises(DataError, match="how likely an empty text is"):
        XTuringLM(llama).loglikelihood(requests([pair]))


def test_a_continuation_that_the_model_cannot_read_is_refused(llama):
    with pytest.raises(DataError, match="but the model reads 512"):
        XTuringLM(llama).loglikelihood(requests([("hello", LONG)]))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_gen_toks": 512}, "512 new tokens, but the model reads 512 in all"),
        ({"num_beams": 2}, "asks for 2 beams"),
    ],
)
def test_answers_that_cannot_be_written_so_are_refused(llama, options, reason):
    with pytest.raises(SettingsError, match=reason):
        XTuringLM(llama).generate_until(prompts(["hello"], **options))


def test_broken_weights_have_no_likelihoods(tiny_full_model):
    with torch.no_grad():
        tiny_full_model.engine.model.lm_head.weight[7] = float("nan")
    with pytest.raises(ModelError, match="no score of it can be trusted"):
        XTuringLM(tiny_full_model).loglikelihood(requests(SCORED[:1]))


@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_chats_are_written_as_by_lm_eval_s_own_class(llama, add_generation_prompt):
    ours = XTuringLM(llama).apply_chat_template(CHAT, add_generation_prompt)
    assert ours == of_lm_eval(llama).apply_chat_template(CHAT, add_generation_prompt)


def test_a_system_message_that_the_template_refuses_is_left_out_and_that_is_told(
    tiny_full_model,
):
    tokenizer, events = tiny_full_model.engine.tokenizer, []
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('none') }}"
        "{% endif %}{{ messages[0]['content'] }}"
    )
    lm = XTuringLM(tiny_full_model)
    with listening(events.append):
        assert [lm.apply_chat_template(CHAT) for _ in range(2)] == ["say dog"] * 2
    assert len(heard(events)) == 1


def test_a_chat_needs_a_template(tiny_full_model):
    tiny_full_model.engine.tokenizer.chat_template = None
    with pytest.raises(ModelError, match="no chat template"):
        XTuringLM(tiny_full_model).apply_chat_template(CHAT)


def test_tasks_come_to_what_lm_eval_finds_by_itself(llama, tmp_path):
    paths = [
        task(tmp_path, "mc", ROWS, **CHOICES),
        task(tmp_path, "gen", ROWS, **ANSWERS),
    ]
    ours = run_harness(llama, [Path(path) for path in paths])
    theirs = found_by_lm_eval(of_lm_eval(llama), paths)
    for name in ("mc", "gen"):
        found = {m.key: m.value for m in ours.task(name).metrics}
        assert found == {key: theirs["results"][name][key] for key in found}
    assert replies(ours.task("gen").samples) == replies(theirs["samples"]["gen"])
    accuracy = ours.task("mc").metric("acc")
    assert accuracy.standard_error == theirs["results"]["mc"]["acc_stderr,none"]


def test_school_sums_come_to_what_lm_eval_finds_by_itself(smollm2, gsm8k, tmp_path):
    rows = []
    sums = [row for _, row in read_jsonl(gsm8k)]
    for row in sorted(sums, key=lambda row: len(str(row)))[:8]:
        way, _, right = row["answer"].rpartition("#### ")
        numbers = [f"{right[:-1]}{digit}" for digit in range(10)]
        asked = {"way": way, "choices": numbers, "right": int(right[-1])}
        rows.append(row | asked)
    number = {"function": "regex", "regex_pattern": r"(-?[0-9][0-9.,]*)"}
    through = {"name": "number", "filter": [number, {"function": "take_first"}]}
    answers = {
        "doc_to_text": "Question: {{question}}\nAnswer: {{way}}####",
        "generation_kwargs": {"until": ["Question:"], "max_gen_toks": 5},
        "filter_list": [through],
    }
    choices = {"doc_to_text": "Question: {{question}}\nAnswer:"}
    paths = [
        task(tmp_path, "sums", rows, **ANSWERS | answers),
        task(tmp_path, "choices", rows, **CHOICES | choices),
    ]
    ours = run_harness(smollm2, paths, batch_size=8)
    theirs = found_by_lm_eval(of_lm_eval(smollm2, 8), paths)
    for name in ("sums", "choices"):
        found = {m.key: m.value for m in ours.task(name).metrics}
        assert found == {key: theirs["results"][name][key] for key in found}
    assert 0 < ours.task("sums").metric("exact_match").value < 1
    assert 0 < ours.task("choices").metric("acc").value < 1
    assert replies(ours.task("sums").samples) == replies(theirs["samples"]["sums"])
    for one, other in zip(
        ours.task("choices").samples, theirs["samples"]["choices"], strict=True
    ):
        likelihoods = [nats for nats, _ in one["filtered_resps"]]
        expected = [nats for nats, _ in other["filtered_resps"]]
        assert likelihoods == pytest.approx(expected, abs=1e-3)


@pytest.fixture(scope="module")
def found(llama, tmp_path_factory):
    """Return the result of two tasks, and where they are."""
    folder = tmp_path_factory.mktemp("tasks")
    paths = [task(folder, "mc", ROWS, **CHOICES), task(folder, "gen", ROWS, **ANSWERS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
        return run_harness(llama, paths), paths


def test_a_run_leaves_nothing_on_the_terminal(llama, found, capfd):
    capfd.readouterr()
    run_harness(llama, found[1])
    assert capfd.readouterr() == ("", "")


def test_a_run_leaves_the_process_as_it_was(llama, found):
    def state() -> list[Any]:
        numbers = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
        level = logging.getLogger("lm_eval").level
        return [dict(os.environ), numbers, torch.get_rng_state().tolist(), level]

    before = state()
    run_harness(llama, found[1][:1])
    assert state() == before


def test_who_listens_is_told_of_batches_and_may_print(llama, found, capsys):
    with listening(lambda event: print(type(event).__name__)):  # noqa: T201
        run_harness(llama, found[1])
    assert set(capsys.readouterr().out.split()) == {Advanced.__name__}


def test_standard_errors_without_a_formula_are_drawn_in_silence(llama, tmp_path, capfd):
    config = ANSWERS | {"output_type": "loglikelihood", "filter_list": None}
    del config["generation_kwargs"]
    config["metric_list"] = [{"metric": "perplexity"}]
    path = task(tmp_path, "perplexity", ROWS, **config)
    (metric,) = run_harness(llama, [path]).tasks[0].metrics
    assert metric.standard_error > 0
    assert capfd.readouterr() == ("", "")


def test_a_result_is_a_json_file_without_its_samples(found):
    written = json.loads(json.dumps(found[0].as_dict()))
    assert [t["name"] for t in written["tasks"]] == ["mc", "gen"]
    assert "samples" not in written["tasks"][0]
    assert written["environment"]["lm-eval"]


def test_one_seed_gives_one_result(llama, found):
    result, paths = found
    assert run_harness(llama, paths).as_dict() == result.as_dict()


def test_the_first_rows_are_taken(llama, found):
    result = run_harness(llama, found[1][:1], limit=5)
    whole = found[0].task("mc").samples
    assert [s["doc"] for s in result.tasks[0].samples] == [s["doc"] for s in whole[:5]]
    assert result.tasks[0].rows == 5


def test_examples_are_drawn_by_the_seed(llama, found):
    results = [
        run_harness(llama, found[1][:1], num_fewshot=2, limit=3, seed=seed).tasks[0]
        for seed in (0, 0, 1)
    ]
    assert [each.shots for each in results] == [2, 2, 2]
    assert results[0].asked == results[1].asked != results[2].asked


def test_a_task_that_allows_no_examples_has_none(llama, tmp_path):
    path = task(tmp_path, "mc", ROWS, **CHOICES, num_fewshot=0)
    assert run_harness(llama, [path], num_fewshot=2, limit=2).tasks[0].shots == 0


def test_questions_are_chats_if_that_is_asked_for(llama, found):
    result = run_harness(llama, found[1][1:], apply_chat_template=True, limit=2)
    ((prompt, _),) = result.tasks[0].samples[0]["arguments"]
    assert prompt.startswith("<|im_start|>user\n")


def test_tasks_that_belong_together_have_a_mean_over_their_rows(
    llama, tmp_path, no_hub, monkeypatch
):
    for name, rows in (("first", ROWS[:8]), ("second", ROWS[8:])):
        path = Path(task(tmp_path, name, rows, **CHOICES))
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        config["dataset_kwargs"]["data_files"]["test"] = str(tmp_path / f"{name}.jsonl")
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
    means = [{"metric": "acc", "weight_by_size": True}]
    group = {"group": "both", "task": ["first", "second"]}
    text = yaml.safe_dump(group | {"aggregate_metric_list": means})
    (tmp_path / "both.yaml").write_text(text, encoding="utf-8")
    manager = TaskManager(include_path=tmp_path, include_defaults=False)
    monkeypatch.setattr(opening, "bundled", lambda: manager)
    result = run_harness(llama, ["both"])
    first, second = (task.metric("acc").value for task in result.tasks)
    (both,) = result.groups
    assert both.metric("acc").value == pytest.approx((8 * first + 4 * second) / 12)
    assert both.rows == 12


def test_a_task_of_the_hub_fails_at_once_without_it(llama, no_hub):
    with pytest.raises(DataError, match="'hellaswag' come from the hub, which cannot"):
        run_harness(llama, ["hellaswag"])


def test_a_name_that_lm_eval_does_not_know_is_answered_with_those_like_it(
    llama, no_hub
):
    with pytest.raises(UnknownNameError, match="Did you mean 'hellaswag'"):
        run_harness(llama, ["helaswag"])


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"task": ["arc_easy"]}, "is no task, since its 'task' is"),
        ({"test_split": "dev"}, "cannot be loaded"),
        ({"doc_to_text": "{{quest}}"}, "'quest' is undefined"),
        ({"output": "x"}, "unexpected keyword argument 'output'"),
        ({"dataset_kwargs": {"data_files": "none.jsonl"}}, "none.jsonl"),
    ],
)
def test_a_task_with_mistakes_is_named(llama, tmp_path, config, reason):
    path = task(tmp_path, "mine", ROWS, **CHOICES | config)
    with pytest.raises(DataError, match=reason) as failure:
        run_harness(llama, [path])
    assert "mine.yaml" in str(failure.value)


@pytest.mark.parametrize(
    ("text", "reason"), [(None, "No such file"), ("- a", "dict"), ("a: [", "parsing")]
)
def test_a_file_that_holds_no_task_is_named(llama, tmp_path, text, reason):
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"mine.yaml cannot be read(.|\n)*{reason}"):
        run_harness(llama, [str(path)])


def test_more_examples_than_there_are_rows_are_an_error(llama, found):
    with pytest.raises(DataError, match="rows for num_fewshot"):
        run_harness(llama, found[1][:1], num_fewshot=50)


def test_code_that_a_model_writes_is_not_run(llama, tmp_path):
    path = task(tmp_path, "mc", ROWS, **CHOICES, unsafe_code=True)
    with pytest.raises(SettingsError, match="runs code that the model writes"):
        run_harness(llama, [path])


def test_a_task_is_named_once(llama, found):
    with pytest.raises(SettingsError, match="'mc' is named twice"):
        run_harness(llama, [found[1][0]] * 2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"limit": 0}, "limit is 0"),
        ({"num_fewshot": -1}, "num_fewshot is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"tasks": []}, "No task is named"),
    ],
)
def test_settings_out_of_range_are_refused(llama, found, options, reason):
    with pytest.raises(SettingsError, match=reason):
        run_harness(llama, **{"tasks": found[1]} | options)


def test_without_lm_eval_the_error_says_how_to_install_it(llama, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MissingDependencyError, match=r"xturing-eval\[harness\]"):
        run_harness(llama, ["arc_easy"])


@pytest.fixture(scope="module")
def others(found, tiny_gpt2_folder):
    with pytest.MonkeyPatch.context() as patch:
        folder = Path(found[1][0]).parent / "cache"
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
        return run_harness(GenericModel(tiny_gpt2_folder), found[1])


def test_two_models_are_compared_row_by_row(found, others):
    comparisons = compare_harness(found[0], others)
    assert [each.name for each in comparisons] == [
        "mc acc,none",
        "mc acc_norm,none",
        "gen exact_match,first-word",
    ]
    for each in comparisons:
        assert each.low <= each.difference <= each.high
        assert each.gained - each.lost == pytest.approx(each.rows * each.difference)


def test_a_model_is_not_told_apart_from_itself(found):
    for each in compare_harness(found[0], found[0]):
        assert (each.low, each.high, each.p_value) == (0, 0, 1)
        assert each.verdict == "no difference shown"


def test_results_of_other_rows_are_not_compared(llama, found):
    fewer = run_harness(llama, found[1], limit=6)
    with pytest.raises(DataError, match="other rows of 'mc'"):
        compare_harness(found[0], fewer)


def test_results_of_other_tasks_are_not_compared(llama, found):
    fewer = run_harness(llama, found[1][:1])
    with pytest.raises(DataError, match="Run both on the same tasks"):
        compare_harness(found[0], fewer)
