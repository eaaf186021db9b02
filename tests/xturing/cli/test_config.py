"""`xturing config`, and settings files that extend others."""

import json

import pytest

from xturing.cli.setting_kinds import KINDS, settings_class
from xturing.models import FinetuningConfig, Variant


def explained(done):
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_a_model_s_settings_are_those_that_it_is_tuned_with(xturing):
    told = explained(xturing("config", "explain", "-m", "llama_lora_int8", "--json"))
    config = Variant.parse("llama_lora_int8").finetuning_config()
    assert {name: each["value"] for name, each in told.items()} == config.model_dump(
        mode="json"
    )
    assert {name: each["source"] for name, each in told.items()} == config.sources


def test_each_value_names_the_file_or_the_option_that_set_it(xturing, tmp_path):
    (tmp_path / "base.yaml").write_text("batch_size: 2\nmax_length: 99\n")
    (tmp_path / "own.yaml").write_text("extends: base.yaml\nmax_length: 88\n")
    options = ["--config", "own.yaml", "--set", "seed=7"]
    told = explained(xturing("config", "explain", *options, "--json"))
    found = {name: tuple(told[name].values()) for name in told}
    assert found["batch_size"] == (2, "file base.yaml")
    assert found["max_length"] == (88, "file own.yaml")
    assert found["seed"] == (7, "option --set seed")
    assert found["beta"] == (0.1, "default")


def test_settings_are_shown_in_a_table_too(xturing):
    done = xturing("config", "explain", "--set", "batch_size=4")
    line = next(line for line in done.out.splitlines() if line.startswith("batch_size"))
    assert line.split() == ["batch_size", "4", "option", "--set", "batch_size"]


def test_a_saved_folder_tells_what_it_was_saved_with(xturing, tiny_model, tmp_path):
    tiny_model.finetuning_config().learning_rate = 0.125
    tiny_model.save(tmp_path / "saved")
    told = explained(xturing("config", "explain", "-m", "saved", "--json"))
    assert told["learning_rate"] == {"value": 0.125, "source": "saved model"}
    assert told["output_dir"]["source"] == "default"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_schema_in_which_each_setting_is_told(xturing, kind):
    schema = explained(xturing("config", "schema", "--kind", kind))
    fields = settings_class(kind).model_fields
    assert schema["properties"].keys() == fields.keys()
    assert schema["additionalProperties"] is False


def test_every_finetuning_setting_says_what_it_means(xturing):
    schema = explained(xturing("config", "schema", "--json"))
    assert all(each["description"] for each in schema["properties"].values())


def test_one_setting_is_told_alone(xturing):
    told = explained(xturing("config", "schema", "--field", "learning_rate"))
    meaning = FinetuningConfig.model_fields["learning_rate"].description
    assert [*told] == ["learning_rate"]
    assert told["learning_rate"]["description"] == meaning


MISTAKES = {
    ("schema", "--field", "learning_rte"): "Did you mean 'learning_rate'",
    ("schema", "--kind", "fine"): "There are no 'fine' settings",
    ("explain", "--set", "beta=-1"): "beta is -1",
    ("explain", "-m", "smollm2", "--kind", "evaluation"): "the same for all models",
    ("explain", "--config", "gone.yaml"): "no settings file gone.yaml",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_sentence(xturing, words):
    done = xturing("config", *words)
    assert (done.code, MISTAKES[words] in done.err) == (1, True), done.err
