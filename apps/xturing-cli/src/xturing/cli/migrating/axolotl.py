"""Axolotl's YAML: its keys, what they are here, and what has no counterpart.

The keys are those of its `examples/` and of its configuration reference.
"""

from collections.abc import Mapping
from typing import Any

from xturing.cli.migrating.models import name_model
from xturing.cli.migrating.rules import (
    Left,
    Migration,
    NotTakenError,
    Option,
    Rule,
    Taken,
    among,
    number,
    positive,
    when,
    whole,
)
from xturing.cli.migrating.trainer import (
    BY_DEVICE,
    NO_COUNTERPART,
    OPTIMIZERS,
    OTHER_LOADING,
    SCHEDULERS,
    SHARED,
    share,
)

PROGRAM = "Axolotl"
MARKS = ("base_model", "micro_batch_size", "sequence_len")
"""Keys by which its files are known."""

BY_STEPS = "it is told in steps, by eval_steps and save_steps"
RECOGNISED = "the shape of rows is recognised, or named by --shape"
TOKENS = "micro-batches are filled by tokens (micro_batch_tokens)"
TRACKING = "trackers read their own environment variables"


def _checkpointing(value: object) -> object:
    return value if isinstance(value, bool) else True


def _tracked(value: object) -> object:
    if not value:
        raise NotTakenError("it is empty")
    return ["wandb"]


def _chat_template(value: object) -> object:
    if value in ("chatml", "llama3"):
        return value
    raise NotTakenError("the tokenizer's own chat template is taken")


TABLE: dict[str, Rule] = {
    **SHARED,
    # The model
    "model_type": Rule(reason="the checkpoint's config.json says it"),
    "tokenizer_type": Rule(reason="the checkpoint's tokenizer is taken"),
    "tokenizer_config": Rule(reason="the checkpoint's tokenizer is taken"),
    "is_llama_derived_model": Rule(reason="the checkpoint's config.json says it"),
    "hub_model_id": Rule(reason="nothing is sent to the hub"),
    "special_tokens": Rule(reason="the tokenizer's own are taken"),
    "tokens": Rule(reason="tokens are not added to a tokenizer"),
    "strict": Rule(reason="unknown settings are always refused"),
    "plugins": Rule(reason=OTHER_LOADING),
    # What is learnt
    "rl": Rule(
        "objective",
        among(
            {"dpo": "dpo", "orpo": "orpo", "kto": "kto"},
            "there are dpo, orpo and kto",
        ),
    ),
    "rl_beta": Rule("beta", number),
    "dpo_beta": Rule("beta", number),
    "orpo_alpha": Rule("orpo_lambda", number),
    "kto_desirable_weight": Rule("desirable_weight", number),
    "kto_undesirable_weight": Rule("undesirable_weight", number),
    "train_on_inputs": Rule(convert=when(False, None, "only answers are learnt")),
    # The adapter
    "lora_r": Rule("lora_rank", whole),
    "lora_target_modules": Rule("lora_targets"),
    "lora_target_linear": Rule(
        "lora_targets", when(True, "all-linear", "all linear layers are it if not said")
    ),
    "lora_modules_to_save": Rule(reason="only linear layers are adapted"),
    "lora_fan_in_fan_out": Rule(reason="the layers themselves tell it"),
    "lora_model_dir": Rule(reason="a tuned folder is gone on from by -m DIR"),
    "peft_use_rslora": Rule("lora_rslora"),
    "peft_use_dora": Rule("lora_dora"),
    "unfrozen_parameters": Rule(reason="all weights are learnt, or an adapter's"),
    # Rows
    "chat_template": Rule(option="chat_template", convert=_chat_template),
    "sequence_len": Rule("max_length", whole),
    "val_set_size": Rule("validation_split", share),
    "dataset_prepared_path": Rule(reason="encoding_cache names a folder for them"),
    "dataset_processes": Rule("encoding_workers", positive),
    "shuffle_merged_datasets": Rule(reason="rows are always shuffled, by the seed"),
    "sample_packing": Rule(reason=TOKENS),
    "eval_sample_packing": Rule(reason=TOKENS),
    "pad_to_sequence_len": Rule(reason=TOKENS),
    "group_by_length": Rule(reason=TOKENS),
    "remove_unused_columns": Rule(reason=RECOGNISED),
    # Steps
    "micro_batch_size": Rule("batch_size", whole),
    "num_epochs": Rule("num_train_epochs", whole),
    "optimizer": Rule(
        "optimizer_name",
        among(OPTIMIZERS, "there are adamw, adam, sgd, adafactor and cpu_adam"),
    ),
    "lr_scheduler": Rule(
        "scheduler", among(SCHEDULERS, "there are linear, cosine and constant")
    ),
    "warmup_ratio": Rule(
        reason="warm-up is told in steps, by warmup_steps; left out, it is a tenth of "
        "the run and at most 50"
    ),
    "early_stopping_patience": Rule("early_stopping_patience", positive),
    # What is written, and when
    "save_steps": Rule("save_steps", positive),
    "eval_steps": Rule("eval_steps", positive),
    "evals_per_epoch": Rule(reason=BY_STEPS),
    "saves_per_epoch": Rule(reason=BY_STEPS),
    "save_strategy": Rule(reason=BY_STEPS),
    "eval_table_size": Rule(reason="report_samples shows answers"),
    "eval_max_new_tokens": Rule(reason="the model's own max_new_tokens is taken"),
    "save_safetensors": Rule(reason="it is always so"),
    "auto_resume_from_checkpoints": Rule(reason="`xturing runs resume DIR` goes on"),
    "wandb_project": Rule("trackers", _tracked),
    "wandb_entity": Rule(reason=TRACKING),
    "wandb_watch": Rule(reason=TRACKING),
    "wandb_name": Rule(reason=TRACKING),
    "wandb_run_id": Rule(reason=TRACKING),
    "wandb_log_model": Rule(reason=TRACKING),
    # How it is computed
    "tf32": Rule(reason=BY_DEVICE),
    "float16": Rule(reason=BY_DEVICE),
    "bfloat16": Rule(reason=BY_DEVICE),
    "gradient_checkpointing": Rule("gradient_checkpointing", _checkpointing),
    "gradient_checkpointing_kwargs": Rule(reason=OTHER_LOADING),
    "flash_attention": Rule(reason=OTHER_LOADING),
    "xformers_attention": Rule(reason=OTHER_LOADING),
    "sdp_attention": Rule(reason=OTHER_LOADING),
    "local_rank": Rule(reason="--devices says how many processes there are"),
    "deepspeed": Rule(reason="name its stage by --strategy deepspeed_stage_2 or 3"),
    "fsdp": Rule(reason="--strategy fsdp divides a model"),
    "fsdp_config": Rule(reason="--strategy fsdp divides a model"),
    "loss_watchdog_threshold": Rule(reason="a loss that is no number ends a run"),
    "loss_watchdog_patience": Rule(reason="a loss that is no number ends a run"),
    "debug": Rule(reason="`xturing data preview` shows what is learnt"),
    "adam_beta1": Rule(reason=NO_COUNTERPART),
    "adam_beta2": Rule(reason=NO_COUNTERPART),
    "adam_epsilon": Rule(reason=NO_COUNTERPART),
}
NAMED = ("base_model", "adapter", "load_in_8bit", "load_in_4bit")
"""What the model's name here is made of."""
SETS: dict[str, Option] = {"datasets": "data", "test_datasets": "eval_data"}


def read(values: Mapping[str, object]) -> Migration:
    """Return what an Axolotl file comes to."""
    found = Migration(PROGRAM)
    adapter = values.get("adapter") or None
    if adapter not in (None, "lora", "qlora"):
        reason = "there is lora; all weights are learnt as it stands"
        found.left["adapter"] = Left(adapter, reason)
    bits = "8" if values.get("load_in_8bit") else "none"
    if values.get("load_in_4bit") or adapter == "qlora":
        bits = "4"
    checkpoint = values.get("base_model")
    named = None if checkpoint is None else str(checkpoint)
    origin = ", ".join(key for key in NAMED if key in values)
    name_model(found, named, adapter in ("lora", "qlora"), bits, origin)
    for key, option in SETS.items():
        _name_rows(found, key, option, values.get(key))
    others = {k: v for k, v in values.items() if k not in (*NAMED, *SETS)}
    # An empty line in its files says nothing; the defaults of both programs differ.
    told = {key: value for key, value in others.items() if value not in (None, "")}
    empty = {key: Left(None, "it is empty") for key in others if key not in told}
    found.left |= empty
    found.apply(told, TABLE)
    # It leaves out what is too long; here that would be an error.
    if "max_length" in found.settings:
        found.set("length_policy", "drop", "sequence_len")
    return found


def _name_rows(found: Migration, key: str, option: Option, rows: Any) -> None:
    """Have the command line name the first rows, and tell of all else about them."""
    if not rows:
        return
    first, *others = rows
    told = dict(first)
    found.options[option] = Taken(told.pop("path", None), key)
    if split := told.pop("split", None):
        found.options["split"] = Taken(split, f"{key}: split")
    for name, value in told.items():
        found.left[f"{key}: {name}"] = Left(value, RECOGNISED)
    if others:
        reason = "one set is taken; `xturing data mix` makes one of several"
        found.left[f"{key} (others)"] = Left(others, reason)
