"""LLaMA-Factory's YAML: its keys, what they are here, and what has no counterpart.

The keys are those of its `examples/train_*` files and of the arguments that it reads.
"""

from collections.abc import Mapping

from xturing.cli.migrating.models import name_model
from xturing.cli.migrating.rules import (
    ALWAYS,
    Left,
    Migration,
    NotTakenError,
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

PROGRAM = "LLaMA-Factory"
MARKS = ("model_name_or_path", "finetuning_type", "stage")
"""Keys by which its files are known."""

STAGES = {"sft": "sft", "dpo": "dpo", "kto": "kto", "pt": "sft"}
PREFERENCE_LOSSES = {"sigmoid": "dpo", "orpo": "orpo"}


def _targets(value: object) -> object:
    if value in ("all", "all-linear"):
        return "all-linear"
    names = value.split(",") if isinstance(value, str) else value
    return [name.strip() for name in names] if isinstance(names, list) else value


def _warmup_ratio(value: object) -> object:
    raise NotTakenError(
        f"warm-up is told in steps: set warmup_steps to {value} of the run's steps. "
        "Left out, it is a tenth of them and at most 50"
    )


def _trackers(value: object) -> object:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or names in ([], ["none"], ["all"]):
        raise NotTakenError("metrics.jsonl is written in any case")
    return names


def _strategy(value: object) -> object:
    text = str(value).lower()
    for mark, stage in (("z3", 3), ("stage3", 3), ("z2", 2), ("stage2", 2), ("z1", 1)):
        if mark in text:
            offload = "_offload" if "offload" in text and stage > 1 else ""
            return f"deepspeed_stage_{stage}{offload}"
    raise NotTakenError("its stage is not in its name; set strategy by hand")


def _template(value: object) -> object:
    if value in ("chatml", "llama3"):
        return value
    raise NotTakenError("the tokenizer's own chat template is taken")


TABLE: dict[str, Rule] = {
    **SHARED,
    # What is learnt
    "stage": Rule(
        "objective",
        among(STAGES, "reward models and PPO have no counterpart; dpo, orpo, kto do"),
    ),
    "pref_beta": Rule("beta", number),
    "pref_ftx": Rule(reason=NO_COUNTERPART),
    "pref_loss": Rule(
        "objective",
        among(PREFERENCE_LOSSES, "this loss has no counterpart; dpo is taken"),
    ),
    "kto_chosen_weight": Rule("desirable_weight", number),
    "kto_rejected_weight": Rule("undesirable_weight", number),
    "do_train": Rule(reason="`xturing finetune` trains; `xturing eval` scores"),
    "do_eval": Rule(reason="held-out rows are scored in any case"),
    "do_predict": Rule(reason="`xturing generate` answers"),
    "train_on_prompt": Rule(convert=when(False, None, "only answers are learnt")),
    "mask_history": Rule(reason="every answer of a conversation is learnt"),
    # The adapter
    "lora_rank": Rule("lora_rank", whole),
    "lora_target": Rule("lora_targets", _targets),
    "use_rslora": Rule("lora_rslora"),
    "use_dora": Rule("lora_dora"),
    "pissa_init": Rule("lora_init", when(True, "pissa", "it is off")),
    "additional_target": Rule(reason="only linear layers are adapted"),
    "adapter_name_or_path": Rule(reason="a tuned folder is gone on from by -m DIR"),
    # Rows
    "dataset": Rule(option="data"),
    "eval_dataset": Rule(option="eval_data"),
    "dataset_dir": Rule(reason="rows are given by the path of their file"),
    "template": Rule(option="chat_template", convert=_template),
    "cutoff_len": Rule("max_length", whole),
    "max_samples": Rule(option="limit", convert=whole),
    "val_size": Rule("validation_split", share),
    "preprocessing_num_workers": Rule("encoding_workers", positive),
    "tokenized_path": Rule("encoding_cache"),
    "overwrite_cache": Rule(reason="what is kept of encoded rows is never outdated"),
    "dataloader_num_workers": Rule(reason="rows are encoded before the first step"),
    "packing": Rule(reason="micro-batches are filled by tokens (micro_batch_tokens)"),
    "streaming": Rule(reason="rows are read as a whole, and counted"),
    "mix_strategy": Rule(reason="`xturing data mix` mixes rows"),
    # Steps
    "per_device_train_batch_size": Rule("batch_size", whole),
    "num_train_epochs": Rule("num_train_epochs", whole),
    "lr_scheduler_type": Rule(
        "scheduler", among(SCHEDULERS, "there are linear, cosine and constant")
    ),
    "warmup_ratio": Rule(convert=_warmup_ratio),
    "optim": Rule(
        "optimizer_name",
        among(OPTIMIZERS, "there are adamw, adam, sgd, adafactor and cpu_adam"),
    ),
    # What is written, and when
    "save_steps": Rule("save_steps", whole),
    "save_strategy": Rule(reason="checkpoints are told in steps, by save_steps"),
    "save_only_model": Rule(reason="checkpoints are there to go on from"),
    "eval_steps": Rule("eval_steps", whole),
    "eval_strategy": Rule(reason="validations are told in steps, by eval_steps"),
    "evaluation_strategy": Rule(reason="validations are told in steps, by eval_steps"),
    "per_device_eval_batch_size": Rule(reason="as many rows as fit are scored at once"),
    "plot_loss": Rule(reason=f"{ALWAYS}: the report has the curve"),
    "report_to": Rule("trackers", _trackers),
    "run_name": Rule(reason="a run is called by its folder"),
    "overwrite_output_dir": Rule(reason="a folder in use is never written over"),
    # How it is computed
    "pure_bf16": Rule(reason=BY_DEVICE),
    "flash_attn": Rule(reason=OTHER_LOADING),
    "enable_liger_kernel": Rule(reason=OTHER_LOADING),
    "use_unsloth": Rule(reason=OTHER_LOADING),
    "gradient_checkpointing": Rule("gradient_checkpointing"),
    "disable_gradient_checkpointing": Rule(
        "gradient_checkpointing", when(True, False, "it is decided by the memory")
    ),
    "deepspeed": Rule("strategy", _strategy),
    "ddp_timeout": Rule(reason=NO_COUNTERPART),
    "quantization_method": Rule(reason="the scheme's backend is chosen by the device"),
    "double_quantization": Rule(reason="the scheme decides it"),
    "upcast_layernorm": Rule(reason=OTHER_LOADING),
}
NAMED = ("model_name_or_path", "finetuning_type", "quantization_bit")
"""What the model's name here is made of."""


def read(values: Mapping[str, object]) -> Migration:
    """Return what a LLaMA-Factory file comes to."""
    found = Migration(PROGRAM)
    kind = str(values.get("finetuning_type", "lora"))
    if kind not in ("lora", "full"):
        reason = "there are lora and full; all weights are learnt as it stands"
        found.left["finetuning_type"] = Left(kind, reason)
    bits = str(values.get("quantization_bit") or "none")
    if bits not in ("none", "8", "4"):
        found.left["quantization_bit"] = Left(bits, "there are 8 and 4")
        bits = "none"
    checkpoint = values.get("model_name_or_path")
    named = None if checkpoint is None else str(checkpoint)
    origin = ", ".join(key for key in NAMED if key in values)
    name_model(found, named, kind == "lora", bits, origin)
    found.apply(_told(values), TABLE)
    if "pref_loss" in values and values.get("stage") != "dpo":
        reason = "it goes with `stage: dpo` alone"
        found.left["pref_loss"] = Left(values["pref_loss"], reason)
    # It cuts what is too long; here that would be an error.
    if "max_length" in found.settings:
        found.set("length_policy", "truncate", "cutoff_len")
    _name_rows(found)
    return found


def _told(values: Mapping[str, object]) -> dict[str, object]:
    """Return what the table is to take over, in an order that suits it."""
    told = {key: value for key, value in values.items() if key not in NAMED}
    # Which loss is meant is of interest for preferences alone, and more than the stage.
    loss = told.pop("pref_loss", None)
    if loss is not None and values.get("stage") == "dpo":
        told["pref_loss"] = loss
    return told


def _name_rows(found: Migration) -> None:
    """Say what datasets are: names in a table of its own, not files."""
    for option in ("data", "eval_data"):
        taken = found.options.get(option)
        if taken is None:
            continue
        names = [name.strip() for name in str(taken.value).split(",")]
        note = "a name in dataset_info.json: give the file that it stands for"
        found.options[option] = Taken(names[0], taken.origin, note)
        if len(names) > 1:
            reason = "one file is taken; `xturing data mix` makes one of several"
            found.left[f"{taken.origin} (others)"] = Left(names[1:], reason)
