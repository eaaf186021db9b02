"""`xturing init`: a folder in which the commands that it names work as written."""

import json
import re
import shlex

import pytest
import yaml

from xturing.cli.quickstart import SETTINGS
from xturing.cli.starting import COMMON
from xturing.core.files import read_jsonl
from xturing.models import FinetuningConfig, Variant

FILES = {"config.yaml", "rows.jsonl", "held_out.jsonl", "README.md"}
DEFAULT = re.compile(r"^# (\w+): ", re.MULTILINE)


@pytest.fixture
def project(xturing, tmp_path, monkeypatch):
    done = xturing("init", "tickets")
    assert done.code == 0, done.err
    monkeypatch.chdir(tmp_path / "tickets")
    return tmp_path / "tickets"


def test_a_project_has_settings_rows_and_what_to_type(project):
    assert {path.name for path in project.iterdir()} == FILES


def test_every_common_setting_is_told_with_its_meaning(project):
    text = (project / "config.yaml").read_text()
    plain = " ".join(text.replace("#", " ").split())
    for name in (name for names in COMMON.values() for name in names):
        meaning = " ".join(FinetuningConfig.model_fields[name].description.split())
        assert meaning in plain, name
        assert re.search(rf"^(# )?{name}: ", text, re.MULTILINE), name


def test_with_every_sign_taken_away_the_defaults_are_those_of_the_model(project):
    lines = (project / "config.yaml").read_text().splitlines()
    shown = [line[2:] for line in lines if DEFAULT.match(line)]
    given = {
        name: value
        for name, value in yaml.safe_load("\n".join(shown)).items()
        if name in FinetuningConfig.model_fields
    }
    config = Variant.parse("smollm2_lora").finetuning_config()
    assert len(given) > 20
    for name, value in given.items():
        setattr(config, name, value)
    defaults = Variant.parse("smollm2_lora").finetuning_config()
    assert config.model_dump() == defaults.model_dump()


def test_what_is_set_is_what_suits_the_rows(project):
    assert yaml.safe_load((project / "config.yaml").read_text()) == SETTINGS


def test_no_held_out_row_is_learnt(project):
    learnt, held_out = (
        {row["instruction"] for _, row in read_jsonl(project / name)}
        for name in ("rows.jsonl", "held_out.jsonl")
    )
    assert len(learnt) > len(held_out) > 0
    assert not learnt & held_out


def test_its_command_fits_as_it_stands(xturing, project):
    words = "-m smollm2_lora -d rows.jsonl --config config.yaml -o tuned --dry-run"
    done = xturing("finetune", *words.split(), "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["settings"]["batch_size"] == {"value": 6, "source": "file config.yaml"}
    assert told["tokens"]["rows"] == told["rows"]


@pytest.mark.slow
def test_what_its_readme_says_works_as_written(xturing, project):
    blocks = re.findall(r"```sh\n(.*?)```", (project / "README.md").read_text(), re.S)
    for line in "".join(blocks).splitlines():
        words = shlex.split(line)[1:]
        if words[0] == "finetune":
            words += ["--limit", "12"]
        if words[0] == "compare":
            words += ["--limit", "1", "--set", "max_new_tokens=4"]
            words += ["--set", "forgetting=false"]
        done = xturing(*words, typed="/exit\n")
        assert done.code == 0, (line, done.err)


@pytest.mark.parametrize("words", [("init",), ("init", "."), ("init", "used")])
def test_a_used_folder_is_left_as_it_is(xturing, tmp_path, words):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine").write_text("mine")
    done = xturing(*words)
    assert (done.code, "in use already" in done.err) == (1, True)
    assert [path.name for path in tmp_path.rglob("*")] == ["used", "mine"]


def test_an_empty_folder_is_filled(xturing, tmp_path):
    assert xturing("init").code == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_a_dry_run_names_the_files_and_writes_none(xturing, tmp_path):
    told = json.loads(xturing("init", "new", "--dry-run", "--json").out)
    assert set(told["files"]) == FILES
    assert not (tmp_path / "new").exists()


def test_an_unknown_model_is_refused_before_anything_is_written(xturing, tmp_path):
    done = xturing("init", "new", "-m", "smolm2_lora")
    assert (done.code, "Did you mean" in done.err) == (1, True)
    assert not (tmp_path / "new").exists()
