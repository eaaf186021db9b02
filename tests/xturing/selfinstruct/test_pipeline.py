import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import killing_generation
import pytest
import scripts
from asked import Asked, reply
from provider_server import Refuse, Say, provider_server

from xturing.core.errors import DataError, OutputError, SettingsError
from xturing.core.events import Notice, listening
from xturing.data import InstructionDataset
from xturing.selfinstruct import (
    CallError,
    Caps,
    Limits,
    SelfInstructConfig,
    Terms,
    generate,
    open_client,
    runs,
)

SUPPORT = Path(killing_generation.__file__)
ROWS = "sampled_generated.jsonl"
FRESH = scripts.instructions(8, seed=3)
BUSY = Refuse(503, headers={"retry-after-ms": "1"})


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return the current folder, with seeds and a script in it.

    Reports have tests of their own; drawing them takes longer than all else here.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "write_report", lambda folder: folder)
    scripts.write_seeds(Path("seeds.jsonl"))
    scripts.write_script(Path("replies.jsonl"))
    return tmp_path


def make(output="run", *, terms=None, engine="scripted:replies.jsonl", **settings):
    config = SelfInstructConfig(**{"num_instructions": 20} | settings)
    return generate("seeds.jsonl", engine, output, config, terms)


def made(folder, name):
    return scripts.read_lines(Path(folder) / name)


def contents(folder):
    """Return what a run made, its journal left out."""
    aside = {"journal.jsonl", ".lock"}
    files = (file for file in Path(folder).iterdir() if file.name not in aside)
    return {file.name: file.read_bytes() for file in files}


@pytest.fixture
def seed_tasks(alpaca):
    return alpaca.with_name("seed_tasks.jsonl")


@pytest.mark.slow
def test_the_seeds_of_the_paper_give_200_instructions_and_a_dataset(place, seed_tasks):
    config = SelfInstructConfig(num_instructions=200)
    run = generate(seed_tasks, "scripted:replies.jsonl", "run", config)
    assert len(made("run", "machine_generated_instructions.jsonl")) == 200
    assert len(run.dataset()) == run.rows >= 200


def test_the_same_again_asks_nothing_and_changes_nothing(place):
    first = make()
    before = contents("run")
    silent = open_client("scripted:replies.jsonl")
    silent._lines = ()
    assert make(engine=silent) == first
    assert contents("run") == before


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the runs are forks")
def test_killed_at_ten_random_moments_it_makes_the_same_and_asks_nothing_twice(place):
    command = [sys.executable, str(SUPPORT), str(place), "10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "10\n"), done.stderr
    in_vain = 0
    for folder in place.glob("killed-?"):
        assert dataset_files(folder) == dataset_files(place / "whole")
        lines = made(folder, "journal.jsonl")
        answered = Counter(line["key"] for line in lines if line["kind"] == "answer")
        assert set(answered.values()) == {1}
        calls = folder.with_suffix(".calls").read_text().split()
        in_vain += len(calls) - len(answered)
    assert 0 <= in_vain <= 10 * killing_generation.CONCURRENCY


def dataset_files(folder):
    """Return what a run made, without what counts requests that were sent in vain."""
    counting = {"summary.json", "report.md", "README.md"}
    return {n: b for n, b in contents(folder).items() if n not in counting}


def test_a_journal_alone_gives_the_same_dataset_offline(place):
    make("first")
    (place / "second").mkdir()
    for name in ("run.json", "journal.jsonl"):
        shutil.copy(place / "first" / name, place / "second")
    offline = Terms(caps=Caps(max_requests=0))
    engine = open_client("scripted:replies.jsonl")
    engine._lines = ()
    make("second", engine=engine, terms=offline)
    assert contents("second") == contents("first")


def test_more_instructions_go_on_from_those_that_are_there(place):
    make(num_instructions=16)
    before = {line["key"] for line in made("run", "journal.jsonl")}
    run = make(num_instructions=40)
    lines = made("run", "journal.jsonl")
    again = Counter(line["key"] for line in lines if line["kind"] == "answer")
    assert set(again.values()) == {1}
    assert before < set(again)
    assert run.stages[0].accepted == 40


def test_a_run_that_was_begun_otherwise_is_refused_with_the_difference(place):
    make()
    with pytest.raises(SettingsError, match="seed was 0 and is 1"):
        make(seed=1)


def test_other_seeds_are_another_run(place):
    make()
    scripts.write_seeds(Path("seeds.jsonl"), 9)
    with pytest.raises(SettingsError, match="the seeds had other words"):
        make()


def test_a_folder_with_other_things_is_left_alone__predecessor_fault_30(place):
    Path("run").mkdir()
    Path("run/generated_tasks.jsonl").write_text("mine")
    with pytest.raises(OutputError, match="holds other things"):
        make()
    assert [file.name for file in Path("run").iterdir()] == ["generated_tasks.jsonl"]


def test_a_run_that_is_to_be_resumed_has_to_be_there(place):
    with pytest.raises(OutputError, match="no run in run to resume"):
        make(terms=Terms(is_resumed=True))
    assert not Path("run").exists()


def test_so_many_instructions_are_made_and_so_many_kept__predecessor_fault_28(place):
    make(num_instructions=20, num_instructions_for_finetuning=6)
    assert len(made("run", "machine_generated_instructions.jsonl")) == 20
    assert len({row["instruction"] for row in made("run", ROWS)}) == 6


def test_too_few_usable_instructions_are_all_kept_and_told__predecessor_fault_28(place):
    notices = []
    with listening(notices.append):
        run = make(num_instructions=5, num_instructions_for_finetuning=50)
    told = [event.text for event in notices if isinstance(event, Notice)]
    assert any("50 instructions were wanted" in text for text in told)
    assert len({row["instruction"] for row in made("run", ROWS)}) == 5
    assert run.stopped is None


def test_another_seed_gives_other_prompts(place):
    make("one", seed=1)
    make("two", seed=2)
    prompts = [
        {
            line["request"]["messages"][0]["content"]
            for line in made(name, "journal.jsonl")
            if line["kind"] == "answer"
        }
        for name in ("one", "two")
    ]
    assert prompts[0] != prompts[1]


def test_every_text_of_an_answer_is_taken_or_left_out_with_a_reason(place):
    run = make(num_instructions=30)
    (search, *_) = run.stages
    left_out = [
        line for line in made("run", "rejected.jsonl") if line["stage"] == search.name
    ]
    assert search.found == search.accepted + len(left_out)


def test_the_files_of_the_predecessor_are_there_and_have_its_fields(place):
    make()
    fields = {
        "machine_generated_instructions.jsonl": {
            *("instruction", "most_similar", "avg_similarity_score"),
            *("request_idx", "metadata"),
        },
        "is_clf_or_not.jsonl": {"instruction", "is_classification"},
        "filtered_instructions.jsonl": {
            *("instruction", "raw_instances", "instance_metadata"),
            *("instruction_metadata", "most_similar", "avg_similarity_score"),
        },
        "all_generated.jsonl": {"instruction", "input", "output"},
        ROWS: {"instruction", "text", "target"},
        "finetuning.jsonl": {"prompt", "completion"},
        "messages.jsonl": {"messages"},
    }
    for name, wanted in fields.items():
        assert all(wanted <= row.keys() for row in made("run", name)), name


def test_rows_and_messages_mean_the_same(place):
    make()
    rows, messages = (
        list(InstructionDataset(Path("run", name)).records())
        for name in (ROWS, "messages.jsonl")
    )
    assert [r.record for r in rows] == [m.record for m in messages]


def test_classification_alone_asks_for_nothing_else(place):
    make(classification_only=True)
    lines = made("run", "journal.jsonl")
    stages = {line["request"]["stage"] for line in lines if line["kind"] == "answer"}
    assert stages == {"instructions", "instances"}


def test_classification_alone_needs_seeds_of_that_kind(place):
    task = {"instruction": "Tell me a story.", "instances": []}
    scripts.write_lines(Path("seeds.jsonl"), [task])
    with pytest.raises(DataError, match="is_classification: true"):
        make(classification_only=True)


def test_a_model_with_nothing_new_to_say_ends_the_search(place):
    engine = Asked([reply("1. Name three rivers of some country please.")])
    notices = []
    with listening(notices.append):
        run = make(engine=engine)
    assert run.stages[0].accepted == 1
    assert any("brought no new instruction" in str(event) for event in notices)


def test_a_cap_ends_the_run_with_what_there_is(place):
    run = make(num_instructions=40, terms=Terms(caps=Caps(max_requests=10)))
    assert (run.requests, run.rows) == (10, 0)
    assert "max_requests=10" in run.stopped
    assert len(made("run", "machine_generated_instructions.jsonl")) == 40


def test_a_higher_cap_goes_on(place):
    make("whole")
    for most in (4, 9, 15, 100):
        make("steps", terms=Terms(caps=Caps(max_requests=most)))
    assert contents("steps") == contents("whole")


def test_a_dataset_of_no_rows_says_why(place):
    run = make(terms=Terms(caps=Caps(max_requests=0)))
    with pytest.raises(DataError, match="no rows, because max_requests=0"):
        run.dataset()


def test_a_refusal_ends_the_run_and_keeps_the_journal(place):
    engine = Asked(
        [
            reply("1. Name the rivers that flow through Vienna."),
            CallError("no", status=401),
        ]
    )
    with pytest.raises(CallError, match="no"):
        make(engine=engine, terms=Terms())
    assert any(line["kind"] == "answer" for line in made("run", "journal.jsonl"))


def test_a_users_prompt_takes_the_place_of_the_bundled_one(place):
    Path("mine").mkdir()
    Path("mine/classification.jinja").write_text("Label? {{ instruction }}")
    make(terms=Terms(prompts=Path("mine")))
    lines = made("run", "journal.jsonl")
    asked = [
        line["request"]["messages"][0]["content"]
        for line in lines
        if line["kind"] == "answer" and line["request"]["stage"] == "classification"
    ]
    assert asked
    assert all(text.startswith("Label? ") for text in asked)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("clasification", "x", "Did you mean 'classification'"),
        ("classification", "{{ nonsense }}", "cannot be filled in"),
        ("classification", "{{", "cannot be filled in"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_named(place, name, text, message):
    Path("mine").mkdir()
    Path(f"mine/{name}.jinja").write_text(text)
    with pytest.raises(SettingsError, match=message):
        make(terms=Terms(prompts=Path("mine")))


def test_the_predecessors_call_makes_a_dataset_in_the_current_folder(place):
    dataset = InstructionDataset.generate_dataset(
        "seeds.jsonl", "scripted:replies.jsonl", num_instructions=8
    )
    assert isinstance(dataset, InstructionDataset)
    assert Path("self_instruct_scripted_replies_jsonl_cache_8_5").is_dir()
    assert len({row["instruction"] for row in dataset}) == 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "line 1: a seed task has an 'instruction'"),
        ("[]", "line 1: a seed task is a JSON object"),
        ('{"instruction": "x", "instances": [1]}', "line 1: an instance is written"),
        ('{"instruction": "x", "instances": {}}', "line 1: 'instances' is a list"),
        ('{"instruction": "x", "is_classification": "no"}', "it is true or false"),
        ("", "is empty"),
        ("{", "line 1: this is not JSON"),
    ],
)
def test_a_seed_that_is_wrong_is_named(place, line, message):
    Path("seeds.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        make()


def test_an_engine_without_a_model_is_refused(place):
    with pytest.raises(SettingsError, match="names no model"):
        make(engine="openai")


def test_a_provider_that_is_not_known_is_answered_with_the_nearest(place):
    with pytest.raises(KeyError, match="Did you mean 'openai'"):
        make(engine="opnai:x")


def test_a_script_without_a_reply_says_for_what(place):
    scripts.write_lines(Path("replies.jsonl"), [{"text": "x", "stage": "other"}])
    with pytest.raises(DataError, match="no reply for a request of the stage 'instr"):
        make()


def test_nothing_is_sent_before_it_is_asked_for(place):
    run = make()
    assert run.requests == json.loads(Path("run/summary.json").read_text())["requests"]


def replied(prompt):
    """Return what a server says: new instructions, or an example."""
    if "Go on with" in prompt:
        return "\n".join(f"{at}. {text}" for at, text in enumerate(FRESH, start=9))
    return "No" if prompt.endswith("Classification:") else "Output: It is done."


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("trouble", [(), (BUSY, BUSY, BUSY)], ids=["well", "ill"])
def test_exactly_as_many_requests_as_allowed_reach_the_server(
    place, concurrency, trouble
):
    terms = Terms(
        caps=Caps(max_requests=10), limits=Limits(concurrency=concurrency, attempts=9)
    )
    with provider_server(*trouble, Say(replied)) as server:
        address = server.base_url("openai")
        client = open_client("openai:m", base_url=address, api_key="secret-key")
        run = make(engine=client, terms=terms)
    assert len(server.requests) == run.requests == 10


@pytest.mark.parametrize("provider", ["openai", "cohere", "ai21"])
def test_no_key_is_in_any_file_or_log(place, provider, caplog, monkeypatch):
    caplog.set_level("DEBUG")
    monkeypatch.setenv(f"{provider.upper()}_API_KEY", "secret-key-123")
    with provider_server(Say(replied)) as server:
        client = open_client(f"{provider}:m", base_url=server.base_url(provider))
        make(engine=client, num_instructions=8)
    assert any("secret-key-123" in str(asked.headers) for asked in server.requests)
    files = [
        file.read_text() for file in Path("run").iterdir() if file.suffix != ".png"
    ]
    assert all("secret-key-123" not in text for text in (*files, caplog.text))


@pytest.mark.parametrize("provider", ["openai", "cohere", "ai21"])
def test_a_wrong_key_ends_the_run_at_the_first_call(place, provider, monkeypatch):
    variable = f"{provider.upper()}_API_KEY"
    monkeypatch.setenv(variable, "secret-key-123")
    with provider_server(Refuse(401, "Wrong key: secret-key-123")) as server:
        client = open_client(f"{provider}:m", base_url=server.base_url(provider))
        with pytest.raises(CallError, match=variable) as refused:
            make(engine=client, terms=Terms(limits=Limits(concurrency=1)))
    assert len(server.requests) == 1
    assert "secret-key-123" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("openai_davinci", "openai"),
        ("openai_chat", "openai"),
        ("cohere_medium", "cohere"),
        ("ai21_j2_grande", "ai21"),
    ],
)
def test_the_predecessors_engines_open_models_of_today(name, provider):
    with pytest.warns(DeprecationWarning, match="is no longer served"):
        client = open_client(name, api_key="k")
    assert client.name == provider
    assert client.model not in name


def test_an_engine_with_a_model_of_its_own_takes_no_other():
    with pytest.raises(SettingsError, match="has a model of its own"):
        open_client("openai_davinci:gpt-4.1")


def test_an_option_that_a_provider_does_not_know_is_named():
    with pytest.raises(SettingsError, match="cohere takes no organization"):
        open_client("cohere:m", organization="us")
