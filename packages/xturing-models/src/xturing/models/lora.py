"""LoRA adapters, by peft.

Low-rank updates beside frozen weights: x -> W x + (alpha / rank) B A x
(Hu et al. 2021, arXiv 2106.09685).
"""

from collections.abc import Mapping
from copy import copy
from functools import cache
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
    # Set by us after peft has made the adapter.
    "loftq": True,
}
"""What peft calls the starts of an adapter."""


def attach(model: Any, config: FinetuningConfig, base: Path) -> Any:
    """Return the model with a fresh adapter; the rest of it is frozen.

    `base` is the folder of the model's own weights.

    Raises:
        ModelError: no layer has the name of a target or fits a pattern; the message
            lists those there are.
        SettingsError: the adapter cannot start as `lora_init` says.
    """
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers.pytorch_utils import Conv1D

    targets = config.lora_targets
    adapted = _adapted(model, targets)
    # GPT-2 keeps its weights transposed.
    transposed = all(isinstance(layer, Conv1D) for layer in adapted.values())
    _refuse_start(config, transposed=transposed, quantized=is_quantized(model))
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
    register_packed(peft_config)
    try:
        made = get_peft_model(model, peft_config)
    except ValueError as error:
        raise ModelError(
            f"{type(model).__name__} cannot be adapted so: {error}"
        ) from error
    if config.lora_init == "loftq":
        _start_from_error(made, base)
    return made


def open_adapter(model: Any, folder: Path) -> Any:
    """Return the model with a saved adapter that can be trained on.

    Raises:
        ModelError: the adapter is broken, or does not fit the model.
    """
    from peft import PeftConfig, PeftModel

    refuse_broken(folder, ADAPTER)
    old = legacy.read_adapter(folder)
    if old is not None:
        return legacy.attach(model, old)
    try:
        config = PeftConfig.from_pretrained(str(folder))
        register_packed(config)
        return PeftModel.from_pretrained(
            model, str(folder), is_trainable=True, config=config
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"The adapter in {folder} does not fit its base model: {error}"
        ) from error


def merged(model: Any) -> Any:
    """Return the model with its adapter worked into dense weights, changed in place."""
    from peft import (
        get_peft_model,
        get_peft_model_state_dict,
        set_peft_model_state_dict,
    )

    if not is_quantized(model):
        return model.merge_and_unload()
    from xturing.models.packing import dequantized

    config = copy(model.peft_config["default"])
    # What it started from is in the weights already.
    config.init_lora_weights = True
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    adapted = get_peft_model(dequantized(model.unload()), config)
    set_peft_model_state_dict(adapted, state)
    return adapted.merge_and_unload()


def apart(model: Any) -> Any:
    """Return a copy of an adapted model that can be merged without changing this one.

    The two share every weight but those that merging changes.
    """
    from peft.tuners.lora import LoraLayer
    from torch.nn import Parameter

    from xturing.quant.quantizing import shell

    made = shell(model)
    for module in made.modules():
        if isinstance(module, LoraLayer):
            layer: Any = module.get_base_layer()
            weight = dict(layer.named_parameters(recurse=False)).get("weight")
            # Packed weights are replaced as a whole.
            if weight is not None and weight.is_floating_point():
                cloned = weight.detach().clone()
                layer.weight = Parameter(cloned, requires_grad=False)
    return made


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


def _refuse_start(
    config: FinetuningConfig, *, transposed: bool, quantized: bool
) -> None:
    if config.lora_init == "loftq" and not quantized:
        raise SettingsError(
            "lora_init is 'loftq', which starts from the error of quantized weights, "
            "but these are whole. Use a variant such as 'llama_lora_int4', or another "
            "lora_init."
        )
    if config.lora_init in ("pissa", "olora") and quantized:
        raise SettingsError(
            f"lora_init is '{config.lora_init}', which changes the base weights, but "
            "quantized ones stay as they are. Use 'loftq'."
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
    names = {there: name for name, there in reversed(PEFT_INITS.items())}
    return names.get(own.init_lora_weights, str(own.init_lora_weights))


def _adapted(model: Any, targets: "str | tuple[str, ...]") -> dict[str, Any]:
    """Return the layers that the targets stand for, by their full names."""
    from torch.nn import Linear
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    linear = {
        name: layer
        for name, layer in model.named_modules()
        if (isinstance(layer, Linear | Conv1D) or hasattr(layer, "qweight"))
        and layer is not head
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


def is_quantized(model: Any) -> bool:
    """Tell whether a model has quantized weights."""
    return bool(getattr(model, "is_quantized", False))


def register_packed(config: Any) -> None:
    """Have peft adapt packed layers by our class."""
    from xturing.quant.layers import Quantized

    # Peft's documented way, private as it is.
    config._register_custom_module({Quantized: _packed_layer()})  # noqa: SLF001


@cache
def _packed_layer() -> Any:
    from peft.tuners.lora import Linear

    class PackedLinear(Linear):
        """A LoRA layer on a packed weight, which cannot take the adapter in."""

        def merge(self, *_: object, **__: object) -> None:
            raise ModelError(
                "The base weights are quantized, and merging into them would round the "
                "adapter away. Use BaseModel.merge(), which dequantizes them first."
            )

    return PackedLinear


def _start_from_error(model: Any, base: Path) -> None:
    """Set the adapter to the best approximation of what quantization lost.

    One step of LoftQ (Li et al. 2023, arXiv 2310.08659), the quantized weights being
    given. The base is opened in full precision for it.
    """
    import torch
    from peft.tuners.lora import LoraLayer
    from transformers import AutoModelForCausalLM

    whole: Any = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, local_files_only=True
    )
    weights = dict(whole.named_modules())
    adapted: dict[str, Any] = {
        name: layer
        for name, layer in model.base_model.model.named_modules()
        if isinstance(layer, LoraLayer)
    }
    for name, layer in adapted.items():
        error = weights[name].weight - _dense_weight(layer.get_base_layer())
        if layer.fan_in_fan_out:
            error = error.T
        rank = layer.r["default"]
        u, s, v = torch.svd_lowrank(error.detach(), q=rank + 8, niter=4)
        half = (s[:rank] / layer.scaling["default"]).sqrt()
        with torch.no_grad():
            layer.lora_B["default"].weight.copy_(u[:, :rank] * half)
            layer.lora_A["default"].weight.copy_((v[:, :rank] * half).T)


def _dense_weight(layer: Any) -> Any:
    from xturing.quant.backend import BACKENDS, holder
    from xturing.quant.quantizing import shell

    backend = holder(layer, list(BACKENDS))
    return backend.dequantize(shell(layer)).weight if backend else layer.weight
