"""LoRA adapters, by peft.

Low-rank updates beside frozen weights: x -> W x + (alpha / rank) B A x
(Hu et al. 2021, arXiv 2106.09685).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xturing.core.errors import ModelError, SettingsError
from xturing.core.settings import DEFAULT
from xturing.models import legacy
from xturing.models.settings import FinetuningConfig
from xturing.models.weights import ADAPTER, refuse_broken

PEFT_INITS: dict[str, Any] = {
    "default": True,
    "gaussian": "gaussian",
    "pissa": "pissa",
    "olora": "olora",
}
"""What peft calls the starts of an adapter."""


def attach(model: Any, config: FinetuningConfig) -> Any:
    """Return the model with a fresh adapter; the rest of it is frozen.

    Raises:
        ModelError: no layer has the name of a target or fits a pattern; the message
            lists those there are.
        SettingsError: the adapter cannot start as `lora_init` says.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    targets = config.lora_targets
    adapted = _adapted(model, targets)
    # GPT-2 keeps its weights transposed.
    transposed = all(type(layer).__name__ == "Conv1D" for layer in adapted.values())
    _refuse_start(config, transposed=transposed)
    for setting in ("lora_rank_pattern", "lora_alpha_pattern"):
        _refuse_idle(setting, getattr(config, setting), adapted)
    peft_config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # a float works
        lora_dropout=config.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        fan_in_fan_out=transposed,
        use_rslora=config.lora_rslora,
        use_dora=config.lora_dora,
        init_lora_weights=PEFT_INITS[config.lora_init],
        rank_pattern=dict(config.lora_rank_pattern),
        alpha_pattern=dict(config.lora_alpha_pattern),
    )
    try:
        return get_peft_model(model, peft_config)
    except ValueError as error:
        raise ModelError(
            f"{type(model).__name__} cannot be adapted so: {error}"
        ) from error


def open_adapter(model: Any, folder: Path) -> Any:
    """Return the model with a saved adapter that can be trained on.

    Raises:
        ModelError: the adapter is broken, or does not fit the model.
    """
    from peft import PeftModel

    refuse_broken(folder, ADAPTER)
    old = legacy.read_adapter(folder)
    if old is not None:
        return legacy.attach(model, old)
    try:
        return PeftModel.from_pretrained(model, str(folder), is_trainable=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"The adapter in {folder} does not fit its base model: {error}"
        ) from error


def settings(model: Any) -> dict[str, object]:
    """Return the settings that a model's adapter was made with."""
    own = model.peft_config["default"]
    values: dict[str, object] = {
        "lora_rank": own.r,
        "lora_alpha": own.lora_alpha,
        "lora_dropout": own.lora_dropout,
        "lora_rslora": own.use_rslora,
        "lora_dora": own.use_dora,
        "lora_init": _init(own),
        "lora_rank_pattern": dict(own.rank_pattern),
        "lora_alpha_pattern": dict(own.alpha_pattern),
    }
    if not isinstance(own.target_modules, str):
        values["lora_targets"] = tuple(sorted(own.target_modules))
    return values


def is_adapted(model: Any) -> bool:
    """Tell whether the model has an adapter."""
    return hasattr(model, "peft_config")


def refuse_other(model: Any, config: FinetuningConfig) -> None:
    """Raise `SettingsError` if the adapter is not the one that the settings want."""
    for name, there in settings(model).items():
        wanted = getattr(config, name)
        if name == "lora_targets":
            if isinstance(wanted, str):
                continue
            wanted = tuple(sorted(wanted))
        if wanted != there:
            raise SettingsError(
                f"{name} is {wanted}, but the model has an adapter with {there} "
                f"already. Set {name} to {there} to go on with it, or start from the "
                "base model."
            )


def refuse_unused(config: FinetuningConfig, family: str, *, passive: str) -> None:
    """Raise `SettingsError` if LoRA was set up for a variant that has no adapter.

    Defaults do not count, nor does what the layer `passive` set.
    """
    for name, source in config.sources.items():
        counts = source not in (DEFAULT, f"family {family}", passive)
        if name.startswith("lora_") and counts:
            raise SettingsError(
                f"{name} is set ({source}), but '{family}' trains all weights and has "
                f"no adapter. Use '{family}_lora', or leave {name} out."
            )


def _refuse_start(config: FinetuningConfig, *, transposed: bool) -> None:
    if config.lora_init == "loftq":
        raise SettingsError(
            "lora_init is 'loftq', which starts from the error of quantized weights, "
            "but these are whole. Use a variant such as 'llama_lora_int4', or another "
            "lora_init."
        )
    if config.lora_init == "olora" and transposed:
        raise SettingsError(
            "lora_init is 'olora', which cannot be used on transposed weights such as "
            "GPT-2's. Use 'pissa'."
        )


def _refuse_idle(
    setting: str, pattern: Mapping[str, float], adapted: Mapping[str, Any]
) -> None:
    """Raise `ModelError` if a layer's own rank or alpha is for no adapted layer."""
    from peft.utils.other import get_pattern_key

    for key in pattern:
        if not any(get_pattern_key([key], name) == key for name in adapted):
            raise ModelError(
                f"{setting} has '{key}', but no adapted layer is called so. They are "
                f"{', '.join(_kinds(adapted))}."
            )


def _init(own: Any) -> str:
    """Return a peft adapter's start as our settings call it."""
    names = {there: name for name, there in PEFT_INITS.items()}
    return names.get(own.init_lora_weights, str(own.init_lora_weights))


def _adapted(model: Any, targets: "str | tuple[str, ...]") -> dict[str, Any]:
    """Return the layers that the targets stand for, by their full names."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    linear = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, Linear | Conv1D) and layer is not head
    }
    if isinstance(targets, str):
        return linear
    kinds = _kinds(linear)
    for target in targets:
        if target not in kinds:
            raise ModelError(
                f"No layer of {type(model).__name__} is called '{target}'. Its linear "
                f"layers are {', '.join(kinds)}; set lora_targets to some of these, or "
                "to 'all-linear'."
            )
    return {
        name: layer
        for name, layer in linear.items()
        if name.rpartition(".")[2] in targets
    }


def _kinds(layers: Mapping[str, Any]) -> list[str]:
    """Return the last parts of the layers' names, each once."""
    return sorted({name.rpartition(".")[2] for name in layers})
