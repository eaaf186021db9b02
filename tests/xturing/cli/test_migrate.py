"""`xturing migrate`: each of other programs' settings taken over, or left and why."""

import json
import shlex

import pytest
import scripts
import tiny
import yaml

from xturing.cli.migrate import read
from xturing.cli.migrating import axolotl, llamafactory
from xturing.models import FinetuningConfig

# In the form of LLaMA-Factory's examples/train_lora/llama3_lora_sft.yaml.
LLAMA_FACTORY = """
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
trust_remote_code: true
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset: rows.jsonl
template: llama3
cutoff_len: 2048
max_samples: 1000
overwrite_cache: true
preprocessing_num_workers: 2
output_dir: saves/llama3-8b/lora/sft
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
val_size: 0.1
per_device_eval_batch_size: 1
eval_strategy: steps
eval_steps: 500
"""
# In the form of its examples/train_lora/llama3_lora_dpo.yaml and of full fine-tuning.
PREFERENCES = """
model_name_or_path: Qwen/Qwen2.5-0.5B-Instruct
stage: dpo
pref_beta: 0.2
pref_loss: orpo
finetuning_type: full
deepspeed: examples/deepspeed/ds_z3_config.json
dataset: pairs.json
cutoff_len: 512
learning_rate: 5.0e-6
num_train_epochs: 1.0
"""
# In the form of Axolotl's examples/llama-2/qlora.yml.
AXOLOTL = """
base_model: NousResearch/Llama-2-7b-hf
model_type: LlamaForCausalLM
tokenizer_type: LlamaTokenizer
load_in_8bit: false
load_in_4bit: true
strict: false
datasets:
  - path: mhenrichsen/alpaca_2k_test
    type: alpaca
dataset_prepared_path:
val_set_size: 0.05
output_dir: ./outputs/qlora-out
adapter: qlora
lora_model_dir:
sequence_len: 4096
sample_packing: true
pad_to_sequence_len: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_modules:
lora_target_linear: true
wandb_project:
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 4
optimizer: paged_adamw_32bit
lr_scheduler: cosine
learning_rate: 0.0002
train_on_inputs: false
group_by_length: false
bf16: auto
tf32: false
gradient_checkpointing: true
logging_steps: 1
flash_attention: true
warmup_steps: 10
evals_per_epoch: 4
saves_per_epoch: 1
weight_decay: 0.0
special_tokens:
"""
SCRIPT = """
from xturing.datasets.instruction_dataset import InstructionDataset
from xturing.models import BaseModel

instruction_dataset = InstructionDataset("./alpaca_data")
model = BaseModel.create("llama_lora")
finetuning_config = model.finetuning_config()
finetuning_config.learning_rate = 2e-4
finetuning_config.weight_decay = 0.01
model.finetuning_config().batch_size = 4 * 2
model.finetuning_config().num_train_epochs = 2
model.finetuning_config().learning_schedule = "warm"
generation_config = model.generation_config()
generation_config.max_new_tokens = 99
model.finetune(dataset=instruction_dataset)
output = model.generate(texts=["Why LLM models are becoming so important?"])
model.save("./llama_weights")
"""


def written(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def taken(found):
    return {name: each.value for name, each in found.settings.items()}


def chosen(found):
    return {name: each.value for name, each in found.options.items()}


def test_llama_factory_s_lora_example_is_taken_over(tmp_path):
    found = read(written(tmp_path, "sft.yaml", LLAMA_FACTORY))
    assert taken(found) == {
        "objective": "sft",
        "lora_rank": 8,
        "lora_targets": "all-linear",
        "max_length": 2048,
        "length_policy": "truncate",
        "encoding_workers": 2,
        "logging_steps": 10,
        "save_steps": 500,
        "batch_size": 1,
        "gradient_accumulation_steps": 8,
        "learning_rate": 1e-4,
        "num_train_epochs": 3,
        "scheduler": "cosine",
        "validation_split": 0.1,
        "eval_steps": 500,
    }
    assert chosen(found) == {
        "model": "generic_lora",
        "weights": "meta-llama/Meta-Llama-3-8B-Instruct",
        "data": "rows.jsonl",
        "chat_template": "llama3",
        "limit": 1000,
        "output": "saves/llama3-8b/lora/sft",
    }


def test_its_preferences_name_the_family_the_objective_and_the_strategy(tmp_path):
    found = read(written(tmp_path, "dpo.yaml", PREFERENCES))
    assert chosen(found)["model"] == "qwen2_5_0_5b"
    assert taken(found)["objective"] == "orpo"
    assert taken(found)["beta"] == 0.2
    assert taken(found)["strategy"] == "deepspeed_stage_3"


def test_axolotl_s_qlora_example_is_taken_over(tmp_path):
    found = read(written(tmp_path, "qlora.yml", AXOLOTL))
    assert taken(found) == {
        "max_length": 4096,
        "length_policy": "drop",
        "validation_split": 0.05,
        "lora_rank": 32,
        "lora_alpha": 16,
        "lora_dropout": 0.05,
        "lora_targets": "all-linear",
        "gradient_accumulation_steps": 4,
        "batch_size": 2,
        "num_train_epochs": 4,
        "optimizer_name": "adamw",
        "scheduler": "cosine",
        "learning_rate": 2e-4,
        "gradient_checkpointing": True,
        "logging_steps": 1,
        "warmup_steps": 10,
        "weight_decay": 0.0,
    }
    assert chosen(found) == {
        "model": "generic_lora_int4",
        "weights": "NousResearch/Llama-2-7b-hf",
        "data": "mhenrichsen/alpaca_2k_test",
        "output": "./outputs/qlora-out",
    }


@pytest.mark.parametrize("text", [LLAMA_FACTORY, PREFERENCES, AXOLOTL])
def test_no_key_is_dropped_in_silence(tmp_path, text):
    found = read(written(tmp_path, "theirs.yaml", text))
    parts = (found.settings.values(), found.options.values())
    used = {each.origin for part in parts for each in part}
    named = {name.strip() for origin in used for name in origin.split(",")}
    told = named | {key.partition(":")[0] for key in found.left}
    assert yaml.safe_load(text).keys() <= told


def test_what_nobody_knows_is_left_with_a_reason(tmp_path):
    found = read(written(tmp_path, "theirs.yaml", AXOLOTL + "warp_speed: 9\n"))
    assert found.left["warp_speed"].value == 9
    assert "not among the keys" in found.left["warp_speed"].reason


@pytest.mark.parametrize("table", [axolotl.TABLE, llamafactory.TABLE])
def test_every_rule_leads_to_a_setting_or_says_why_not(table):
    for key, rule in table.items():
        assert rule.ours in {"", *FinetuningConfig.model_fields}, key
        assert rule.ours or rule.option or rule.reason or rule.convert, key


def test_a_value_out_of_range_is_left_with_what_would_be_right(tmp_path):
    text = "base_model: a/b\nlora_r: -1\nlearning_rate: fast\nnum_epochs: 1.5\n"
    found = read(written(tmp_path, "theirs.yaml", text))
    assert found.settings == {}
    assert "greater than 0" in found.left["lora_r"].reason
    assert "no number" in found.left["learning_rate"].reason
    assert "whole numbers" in found.left["num_epochs"].reason


def test_a_script_is_read_line_by_line(tmp_path):
    found = read(written(tmp_path, "train.py", SCRIPT))
    assert taken(found) == {
        "learning_rate": 2e-4,
        "weight_decay": 0.01,
        "num_train_epochs": 2,
    }
    assert chosen(found) == {
        "data": "./alpaca_data",
        "model": "llama_lora",
        "output": "./llama_weights",
    }
    assert found.generation["max_new_tokens"].value == 99


def test_a_script_s_settings_that_had_no_effect_say_so(tmp_path):
    found = read(written(tmp_path, "train.py", SCRIPT))
    assert "took no notice" in found.settings["weight_decay"].note
    assert found.settings["learning_rate"].note == ""


def test_a_script_s_values_that_are_computed_are_left(tmp_path):
    found = read(written(tmp_path, "train.py", SCRIPT))
    left = {key.partition(",")[0]: each for key, each in found.left.items()}
    assert left["batch_size"].value == "4 * 2"
    assert "computed" in left["batch_size"].reason
    assert "no setting 'learning_schedule'" in left["learning_schedule"].reason
    assert "xturing generate" in left["generate()"].reason


def test_a_script_is_never_run(tmp_path):
    trap = f"open({str(tmp_path / 'trap')!r}, 'w')\n"
    read(written(tmp_path, "train.py", trap + SCRIPT))
    assert not (tmp_path / "trap").exists()


def test_a_model_s_class_with_weights_is_its_name_and_option(tmp_path):
    text = "from xturing.models import *\nmodel = GenericLoraModel('facebook/opt-1.3b')"
    found = read(written(tmp_path, "train.py", text))
    assert chosen(found) == {"model": "generic_lora", "weights": "facebook/opt-1.3b"}


def test_the_predecessor_s_settings_file_is_read_by_its_parts(tmp_path):
    text = "defaults:\n  batch_size: 4\ngpt2_lora:\n  learning_rate: 3e-3\n"
    found = read(written(tmp_path, "finetuning_config.yaml", text))
    assert taken(found) == {"batch_size": 4, "learning_rate": "3e-3"}
    assert chosen(found) == {"model": "gpt2_lora"}


MISTAKES = {
    "a = (": "line 1: this is not Python",
    "print('hello')": "names no model",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_script_of_something_else_is_refused(xturing, tmp_path, text):
    done = xturing("migrate", written(tmp_path, "other.py", text))
    assert (done.code, MISTAKES[text] in done.err) == (1, True)


def test_a_file_that_is_there_is_not_written_over(xturing, tmp_path):
    file = written(tmp_path, "sft.yaml", LLAMA_FACTORY)
    done = xturing("migrate", file, "-o", file)
    assert (done.code, file.read_text()) == (1, LLAMA_FACTORY)


def test_json_has_the_command_the_settings_and_what_was_left(xturing, tmp_path):
    done = xturing("migrate", written(tmp_path, "q.yml", AXOLOTL), "--json")
    told = json.loads(done.out)
    assert told["program"] == "Axolotl"
    assert told["command"].startswith("xturing finetune -m generic_lora_int4")
    assert told["settings"]["lora_rank"]["origin"] == "lora_r"
    assert "tf32" in told["left"]


def with_tiny_model(text, folder):
    """Return settings as another user has them, for a model and rows that are here."""
    values = yaml.safe_load(text)
    name = "base_model" if "base_model" in values else "model_name_or_path"
    values[name] = str(folder)
    rows = "rows.jsonl"
    if "datasets" in values:
        values["datasets"] = [{"path": rows, "type": "alpaca"}]
    else:
        values["dataset"] = rows
    if "template" in values:
        values["template"] = "chatml"
    for key in ("cutoff_len", "sequence_len"):
        if key in values:
            values[key] = 256
    return yaml.safe_dump(values)


@pytest.mark.parametrize("text", [LLAMA_FACTORY, AXOLOTL])
def test_the_command_that_is_told_fits_as_it_stands(
    xturing, tiny_folder, tmp_path, text
):
    scripts.write_lines(tmp_path / "rows.jsonl", tiny.ROWS)
    written(tmp_path, "theirs.yaml", with_tiny_model(text, tiny_folder))
    moved = xturing("migrate", "theirs.yaml", "-o", "ours.yaml", "--json")
    words = shlex.split(json.loads(moved.out)["command"])[1:]
    done = xturing(*words, "--dry-run", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["rows"] == len(tiny.ROWS)


def test_what_was_axolotl_s_trains(xturing, tiny_folder, tmp_path):
    scripts.write_lines(tmp_path / "rows.jsonl", tiny.ROWS)
    short = AXOLOTL.replace("warmup_steps: 10", "warmup_steps: 1\nmax_steps: 2")
    written(tmp_path, "theirs.yaml", with_tiny_model(short, tiny_folder))
    moved = xturing("migrate", "theirs.yaml", "-o", "ours.yaml", "--json")
    words = shlex.split(json.loads(moved.out)["command"])[1:]
    done = xturing(*words, "--json", "--set", "report_samples=0")
    assert done.code == 0, done.err
    assert json.loads(done.out)["steps"] == 2
