"""LoRA adapters, by peft.

Low-rank updates beside frozen weights: x -> W x + (alpha / rank) B A x
(Hu et al. 2021, arXiv 2106.09685).
"""

from pathlib import Path
from typing import Any

from xturing.core.errors import ModelError, SettingsError
from xturing.core.settings import DEFAULT
from xturing.models import legacy
from xturing.models.settings import FinetuningConfig
from xturing.models.weights import ADAPTER, refuse_broken


def attach(model: Any, config: FinetuningConfig) -> Any:
    """Return the model with a fresh adapter; the rest of it is frozen.

    Raises:
        ModelError: no layer has the name of a target; the message lists those there
        are.
    """
    from peft import LoraConfig, TaskType, get_peft_model

    targets = config.lora_targets
    adapted = _adapted(model, targets)
    peft_config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # a float works
        lora_dropout=config.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        # GPT-2 keeps its weights transposed.
        fan_in_fan_out=all(type(layer).__name__ == "Conv1D" for layer in adapted),
    )
    return get_peft_model(model, peft_config)


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
    }
    if not isinstance(own.target_modules, str):
        values["lora_targets"] = tuple(sorted(own.target_modules))
    return values


def is_adapted(model: Any) -> bool:
    """Tell whether the model has an adapter."""
    return hasattr(model, "peft_config")


def refuse_other(model: Any, config: FinetuningConfig) -> None:
    """Raise `SettingsError` if the adapter is not the one that the settings want."""
    own = model.peft_config["default"]
    given: dict[str, tuple[object, ...]] = {
        "lora_rank": (config.lora_rank, own.r),
        "lora_alpha": (config.lora_alpha, own.lora_alpha),
        "lora_dropout": (config.lora_dropout, own.lora_dropout),
    }
    if not isinstance(config.lora_targets, str):
        targets = set(config.lora_targets), set(own.target_modules)
        given["lora_targets"] = tuple(tuple(sorted(names)) for names in targets)
    for name, (wanted, there) in given.items():
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


def _adapted(model: Any, targets: "str | tuple[str, ...]") -> list[Any]:
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    linear = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, Linear | Conv1D) and layer is not head
    }
    if isinstance(targets, str):
        return list(linear.values())
    kinds = sorted({name.rpartition(".")[2] for name in linear})
    for target in targets:
        if target not in kinds:
            raise ModelError(
                f"No layer of {type(model).__name__} is called '{target}'. Its linear "
                f"layers are {', '.join(kinds)}; set lora_targets to some of these, or "
                "to 'all-linear'."
            )
    return [
        layer for name, layer in linear.items() if name.rpartition(".")[2] in targets
    ]
