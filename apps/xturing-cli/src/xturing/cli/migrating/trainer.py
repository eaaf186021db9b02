"""Settings of transformers' Trainer, which other programs pass on under its names."""

from xturing.cli.migrating.rules import NotTakenError, Rule, number, positive, whole

BY_DEVICE = "the device decides what numbers are computed in"
OTHER_LOADING = "how the weights are read and computed is decided by the engine"
NO_COUNTERPART = "there is no counterpart"
SCHEDULERS = {
    "linear": "linear",
    "cosine": "cosine",
    "constant": "constant",
    "constant_with_warmup": "constant",
}
OPTIMIZERS = {
    **dict.fromkeys(("adamw_torch", "adamw_torch_fused", "adamw_hf"), "adamw"),
    **dict.fromkeys(("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit"), "adamw"),
    **dict.fromkeys(("paged_adamw_32bit", "adamw"), "adamw"),
    "adafactor": "adafactor",
    "sgd": "sgd",
}


def share(value: object) -> object:
    """Return a share of the rows.

    Raises:
        NotTakenError: it is a number of rows.
    """
    found = float(str(number(value)))
    if found >= 1:
        raise NotTakenError("rows are held out by their share, in validation_split")
    return found


SHARED: dict[str, Rule] = {
    "label_smoothing_factor": Rule("label_smoothing", number),
    "neftune_noise_alpha": Rule("neftune_alpha", number),
    "lora_alpha": Rule("lora_alpha", number),
    "lora_dropout": Rule("lora_dropout", number),
    "loraplus_lr_ratio": Rule("lora_plus_ratio", number),
    "gradient_accumulation_steps": Rule("gradient_accumulation_steps", whole),
    "learning_rate": Rule("learning_rate", number),
    "max_steps": Rule("max_steps", positive),
    "warmup_steps": Rule("warmup_steps", whole),
    "weight_decay": Rule("weight_decay", number),
    "max_grad_norm": Rule("max_grad_norm", number),
    "seed": Rule("seed", whole),
    "output_dir": Rule(option="output"),
    "logging_steps": Rule("logging_steps", whole),
    "save_total_limit": Rule("save_total_limit", positive),
    "resume_from_checkpoint": Rule(reason="`xturing runs resume DIR` goes on"),
    "bf16": Rule(reason=BY_DEVICE),
    "fp16": Rule(reason=BY_DEVICE),
    "trust_remote_code": Rule(reason="code of checkpoints is run from Python alone"),
}
"""Keys that mean the same in all of them."""
