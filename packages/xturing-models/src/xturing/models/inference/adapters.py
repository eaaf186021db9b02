"""A LoRA adapter's matrices, read from its folder as peft writes it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xturing.core.errors import ModelError
from xturing.core.files import read_json
from xturing.models.folders import ADAPTER_FILE, read_folder, refuse_changed

WEIGHTS = "adapter_model.safetensors"
LAYER = re.compile(
    r"^(?:base_model\.model\.)?(.*?)(layers\.\d+\..+)\.lora_(A|B)\.weight$"
)
MORE = ("alora_invocation_tokens", "use_qalora", "use_bdlora", "layer_replication")
"""Settings of peft with which an adapter is more than two matrices a layer."""
MOVING = ("pissa", "olora", "corda", "lora_ga")
"""Beginnings that are taken out of the base's weights."""
Matrices = Mapping[str, tuple[Any, Any, float]]
"""For a layer such as layers.0.self_attn.q_proj: A (rank, in), B (out, rank), scale."""


def low_rank(folder: Path) -> Matrices:
    """Return what an adapter adds to each layer: scale * B A.

    Raises:
        ModelError: the folder holds no adapter, or one that is more than that.
    """
    from safetensors.torch import load_file

    config = adapter_config(folder)
    file = folder / WEIGHTS
    if not file.is_file():
        raise ModelError(f"{folder} holds no adapter: it has no {WEIGHTS}.")
    if config.get("peft_type") != "LORA":
        raise ModelError(f"The adapter in {folder} is no LoRA adapter.")
    for name in MORE:
        if config.get(name):
            raise ModelError(
                f"The adapter in {folder} has '{name}', which is more than the engine "
                "computes. Serve it with the engine 'torch', or merge it."
            )
    halves: dict[tuple[str, str], dict[str, Any]] = {}
    for name, tensor in load_file(file).items():
        match = LAYER.match(name)
        if match is None:
            raise ModelError(
                f"The adapter in {folder} has {name}, which is no LoRA matrix of a "
                "block. Serve it with the engine 'torch', or merge it."
            )
        halves.setdefault((match[1], match[2]), {})[match[3]] = tensor
    if any(len(half) != len("AB") for half in halves.values()):
        raise ModelError(f"{folder / WEIGHTS} lacks a half of some of its matrices.")
    return {
        layer: (half["A"], half["B"], _scale(config, above + layer, len(half["A"])))
        for (above, layer), half in halves.items()
    }


def adapter_config(folder: Path) -> dict[str, Any]:
    """Return what an adapter says of itself.

    Raises:
        ModelError: the folder holds no adapter, or one that was changed, or that moved
            its base when it began, which the base and other adapters are not served
            from.
    """
    refuse_changed(read_folder(folder))
    file = folder / ADAPTER_FILE
    config = read_json(file) if file.is_file() else None
    if not isinstance(config, dict):
        raise ModelError(f"{folder} holds no adapter: it has no {ADAPTER_FILE}.")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.startswith(MOVING):
        raise ModelError(
            f"The adapter in {folder} began with parts of its base's weights "
            f"('{start}'), which are not in the base any more. Merge it (`xturing "
            "merge`), and serve it alone."
        )
    return config


def _scale(config: dict[str, Any], name: str, rank: int) -> float:
    alpha = _of(config.get("alpha_pattern"), name) or config["lora_alpha"]
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _of(pattern: dict[str, float] | None, name: str) -> float | None:
    """Return the value for a layer, by the end of its name or a regular expression."""
    for key, value in (pattern or {}).items():
        if re.match(rf"(.*\.)?({key})$", name):
            return value
    return None
