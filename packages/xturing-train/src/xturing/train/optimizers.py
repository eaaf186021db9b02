"""Optimizers by name, and how the learning rate goes."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from xturing.core.extras import require
from xturing.models.settings import FinetuningConfig

Groups = list[dict[str, Any]]


def build_optimizer(
    parameters: Sequence[tuple[str, torch.nn.Parameter]], config: FinetuningConfig
) -> torch.optim.Optimizer:
    """Return the optimizer that the settings name, for the named parameters.

    Raises:
        MissingDependencyError: it is DeepSpeed's, which is not installed.
    """
    groups = parameter_groups(parameters, config.weight_decay)
    if config.lora_plus_ratio is not None:
        named = {id(parameter) for name, parameter in parameters if ".lora_B." in name}
        fast = config.learning_rate * config.lora_plus_ratio
        groups = with_fast(groups, named, fast)
    return _OPTIMIZERS[config.optimizer_name](groups, config.learning_rate)


def parameter_groups(
    parameters: Iterable[tuple[str, torch.nn.Parameter]], weight_decay: float
) -> Groups:
    """Return the parameters in two groups: those that decay, and norms and biases."""
    decayed: list[torch.nn.Parameter] = []
    level: list[torch.nn.Parameter] = []
    for name, parameter in parameters:
        is_level = parameter.ndim < 2 or "norm" in name.lower()
        (level if is_level else decayed).append(parameter)
    return [
        {"params": group, "weight_decay": decay}
        for group, decay in ((decayed, weight_decay), (level, 0.0))
        if group
    ]


def with_fast(groups: Groups, fast: set[int], learning_rate: float) -> Groups:
    """Return the groups with some parameters, by `id`, at a rate of their own.

    LoRA+ has the B matrices learn faster (Hayou et al. 2024, arXiv 2402.12354).
    """
    divided: Groups = []
    for group in groups:
        slow = [each for each in group["params"] if id(each) not in fast]
        quick = [each for each in group["params"] if id(each) in fast]
        divided += [{**group, "params": slow}] if slow else []
        divided += [{**group, "params": quick, "lr": learning_rate}] if quick else []
    return divided


def learning_rate_factor(
    step: int, *, steps: int, warmup_steps: int, scheduler: str
) -> float:
    """Return the share of the highest learning rate for a step, counted from 0.

    It rises by equal amounts to 1, reached with the warm-up's last step, and then falls
    towards 0 in a line or half a cosine, or stays.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if scheduler == "constant":
        return 1.0
    done = (step - warmup_steps) / max(steps - warmup_steps, 1)
    if scheduler == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1 - done


def _adamw(groups: Groups, learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def _adam(groups: Groups, learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, lr=learning_rate, fused=True)


def _sgd(groups: Groups, learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=learning_rate)


def _adafactor(groups: Groups, learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adafactor(groups, lr=learning_rate)


def _cpu_adam(groups: Groups, learning_rate: float) -> torch.optim.Optimizer:
    adam = require("deepspeed.ops.adam", package="xturing-train", extra="deepspeed")

    class CPUAdam(adam.DeepSpeedCPUAdam):
        # Lightning makes passing copies of an optimizer. The end of such a copy would
        # free the kernel's state, which the one in use still points to.
        def __del__(self) -> None:
            pass

    return CPUAdam(groups, lr=learning_rate, adamw_mode=True)


_OPTIMIZERS: dict[str, Callable[[Groups, float], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
    "adafactor": _adafactor,
    "cpu_adam": _cpu_adam,
}
