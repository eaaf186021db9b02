import json
import re
import signal
import sys

import pytest
import tiny

from xturing.cli.doctor import shadowing_files
from xturing.core.events import listening
from xturing.models import BaseModel, GenericModel, Variant
from xturing.train import StepEnded


@pytest.fixture
def data(tmp_path):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(tiny.ROWS))
    return file


@pytest.fixture
def fast(tiny_folder):
    """Return options that fine-tune a tiny model."""
    return ["-m", "generic_lora", "--weights", tiny_folder, "--set", "max_length=128"]


def test_finetune_shows_the_ledger_and_how_to_chat(xturing, data, fast, tmp_path):
    done = xturing("finetune", *fast, "-d", data, "-o", tmp_path / "out")
    assert done.code == 0
    ledger = json.loads((tmp_path / "out" / "ledger.json").read_text())
    assert f"{ledger['training_rows']['tokens']:,}" in done.out
    assert "truncated                            0" in done.out
    assert f"xturing chat -m {tmp_path / 'out'}" in done.out
    assert BaseModel.load(tmp_path / "out").config_name == "generic_lora"


def test_finetune_names_the_report_at_its_end(xturing, data, fast, tmp_path):
    done = xturing("finetune", *fast, "-d", data, "-o", tmp_path / "out")
    page = tmp_path / "out" / "report.html"
    assert done.out.rstrip().endswith(str(page))
    assert page.is_file()


def test_settings_come_from_the_file_and_options_win(xturing, data, fast, tmp_path):
    (tmp_path / "recipe.yaml").write_text("learning_rate: 2e-3\nbatch_size: 2\n")
    options = ["--config", tmp_path / "recipe.yaml", "--set", "batch_size=5"]
    xturing("finetune", *fast, *options, "-d", data, "-o", tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["settings"]["learning_rate"] == 2e-3
    assert report["settings"]["batch_size"] == 5
    assert report["sources"]["learning_rate"] == f"file {tmp_path / 'recipe.yaml'}"
    assert report["sources"]["batch_size"] == "option --set batch_size"


def test_a_limit_reads_only_the_first_rows(xturing, data, fast, tmp_path):
    done = xturing("finetune", *fast, "-d", data, "-o", tmp_path / "o", "--limit", 10)
    assert "9 rows to learn" in done.out
    assert "1 held out" in done.out


def test_a_tuned_folder_can_be_tuned_on(xturing, data, fast, tmp_path):
    xturing("finetune", *fast, "-d", data, "-o", tmp_path / "one")
    done = xturing(
        "finetune", "-m", tmp_path / "one", "-d", data, "-o", tmp_path / "two"
    )
    assert done.code == 0
    assert BaseModel.load(tmp_path / "two").config_name == "generic_lora"


def test_preferences_show_margin_and_accuracy(xturing, fast, tmp_path):
    pairs = [
        {"prompt": f"say {n}", "chosen": f"it is {n}", "rejected": "no fox, no dog"}
        for n in range(8)
    ]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    options = ["--set", "validation_split=0.25", "--set", "learning_rate=0.01"]
    done = xturing("finetune", *fast, *options, "-d", "pairs.json", "-o", "out")
    assert done.code == 0
    assert "learnt by DPO" in done.err
    found = re.search(
        r"Held-out margin (\S+) -> (\S+), told right (\d+)% -> (\d+)%", done.out
    )
    assert float(found[1]) == 0.0 < float(found[2])
    assert found[3] == "50"


MISTAKES = {
    "an unknown model": (
        ["-m", "smolm2_lora"],
        "no model 'smolm2_lora'.*'smollm2_lora'",
    ),
    "a missing model folder": (["-m", "./gone"], "no model.*gone"),
    "missing data": (["-d", "gone.json"], "no file or folder gone.json"),
    "an unknown setting": (["--set", "learning_rte=1"], "option --set learning_rte.*"),
    "a setting of the wrong type": (
        ["--set", "learning_rate=fast"],
        "learning_rate is 'fast', but input should be a valid number",
    ),
    "a setting without a value": (["--set", "learning_rate"], "--set FIELD=VALUE"),
    "a missing settings file": (
        ["--config", "gone.yaml"],
        "no settings file gone.yaml",
    ),
    "an output folder in use": (["-o", "."], "in use already"),
    "a limit of nothing": (["--limit", "0"], "limit of 0 leaves no rows"),
    "rows that are too long": (["--set", "max_length=9"], "more than max_length=9"),
}


@pytest.mark.parametrize(("options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence_and_a_code(
    xturing, data, fast, tmp_path, options, message
):
    before = sorted(tmp_path.rglob("*"))
    done = xturing("finetune", *fast, "-d", data, "-o", "out", *options)
    assert done.code == 1
    (line,) = [line for line in done.err.splitlines() if line.startswith("error:")]
    assert re.search(message, line)
    assert "Traceback" not in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_broken_json_is_named_with_its_line(xturing, fast, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"instruction": "a", "target": "b"}\n{"in\n')
    done = xturing("finetune", *fast, "-d", "bad.jsonl", "-o", "out")
    assert (done.code, "bad.jsonl, line 2: this is not JSON" in done.err) == (1, True)


def test_debug_shows_the_traceback(xturing, monkeypatch):
    monkeypatch.setenv("XTURING_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["xturing", "models", "explain", "nothing"])
    from xturing.cli.main import run
    from xturing.core.errors import UnknownNameError

    with pytest.raises(UnknownNameError):
        run()


def test_a_missing_option_is_a_usage_error(xturing):
    done = xturing("finetune", "-m", "smollm2_lora")
    assert done.code == 2
    assert "--data" in done.err


@pytest.fixture
def chat(xturing, tiny_folder):
    options = ["-m", "generic", "--weights", tiny_folder, "--max-new-tokens", 8]
    options += ["--engine", "torch"]
    return lambda typed, *more: xturing("chat", *options, *more, typed=typed)


def test_chat_ends_with_its_input(chat):
    done = chat("say hello\n")
    assert done.code == 0
    assert done.out.count("MODEL > ") == 1


def test_chat_remembers_what_was_said(chat, tiny_folder):
    model = GenericModel(tiny_folder)
    model.generation_config().max_new_tokens = 8
    first = model.generate(texts="say hello")
    messages = [
        {"role": "user", "content": "say hello"},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "and again"},
    ]
    second = "".join(model.stream(messages))
    done = chat("say hello\nand again\n/exit\nsay nothing\n")
    assert done.out == f"MODEL > {first}\nMODEL > {second}\n"


def test_reset_makes_chat_forget(chat):
    done = chat("say hello\n/reset\nsay hello\n")
    first, second = done.out.split("MODEL > ")[1:]
    assert first == second


def test_a_system_prompt_comes_first(chat):
    assert chat("say hello\n").out != chat("say hello\n", "--system", "be a fox").out


def test_an_unknown_command_of_chat_is_not_said_to_the_model(chat):
    done = chat("/rest\n")
    assert "There is no /rest" in done.err
    assert done.out == ""


def test_generate_writes_the_answer_alone(xturing, tiny_folder):
    options = ["-m", "generic", "--weights", tiny_folder, "--max-new-tokens", 8]
    done = xturing("generate", *options, "-p", "say hello")
    model = GenericModel(tiny_folder)
    model.generation_config().max_new_tokens = 8
    assert done.out == model.generate(texts="say hello") + "\n"


def test_generate_answers_each_line_of_a_file(xturing, tiny_folder, tmp_path):
    (tmp_path / "prompts.txt").write_text("say hello\n\nsay fox\n")
    options = ["-m", "generic", "--weights", tiny_folder, "--max-new-tokens", 8]
    done = xturing("generate", *options, "--file", "prompts.txt")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["prompt"] for line in lines] == ["say hello", "say fox"]
    assert all(isinstance(line["answer"], str) for line in lines)


def test_generate_without_a_prompt_is_refused(xturing):
    done = xturing("generate", "-m", "smollm2")
    assert done.code == 1
    assert "either a prompt" in done.err


def test_models_lists_every_name(xturing):
    out = "".join(xturing("models").out.split())
    families = {variant.family.name for variant in Variant.all()}
    assert all(name in out for name in families)
    assert "_lora_int4" in out


def test_explain_shows_each_setting_with_its_source(xturing):
    lines = xturing("models", "explain", "bloom_lora").out.splitlines()
    rate = next(line for line in lines if line.startswith("learning_rate"))
    assert rate.split() == ["learning_rate", "0.0001", "adapter", "lora"]


def test_doctor_tells_what_is_here(xturing):
    done = xturing("doctor")
    assert done.code == 0
    assert "smollm2 is here" in done.out


def test_what_shadows_the_namespace_is_found(tmp_path):
    (tmp_path / "a" / "xturing").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    old = tmp_path / "a" / "xturing" / "__init__.py"
    file = tmp_path / "b" / "xturing.py"
    old.touch()
    file.touch()
    paths = [str(tmp_path / name) for name in ("a", "b", "c")]
    assert shadowing_files(paths) == [old, file]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_stopped_run_says_how_to_go_on_and_does(
    xturing, data, fast, tmp_path, number, code
):
    def stop(event):
        if isinstance(event, StepEnded) and event.step == 3:
            signal.raise_signal(number)

    options = ["finetune", *fast, "-d", data, "-o", tmp_path / "out"]
    with listening(stop):
        stopped = xturing(*options)
    assert stopped.code == code
    assert f"-o {tmp_path / 'out'} --resume" in stopped.err
    assert "--resume goes on" in xturing(*options).err
    done = xturing(*options, "--resume")
    assert done.code == 0
    assert "Going on after step 3" in done.err


def test_resume_without_a_checkpoint_starts_and_says_so(xturing, data, fast, tmp_path):
    options = ["finetune", *fast, "-d", data, "-o", tmp_path / "out"]
    done = xturing(*options, "--resume")
    assert done.code == 0
    assert "starting from the beginning" in done.err
