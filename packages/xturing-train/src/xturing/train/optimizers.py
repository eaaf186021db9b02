"""Optimizers by name, and how the learning rate goes."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch

from xturing.core.extras import require
from xturing.models.settings import FinetuningConfig

Groups = list[dict[str, Any]]


def build_optimizer(
    parameters: Iterable[tuple[str, torch.nn.Parameter]], config: FinetuningConfig
) -> torch.optim.Optimizer:
    """Return the optimizer that the settings name, for the named parameters.

    Raises:
        MissingDependencyError: it is DeepSpeed's, which is not installed.
    """
    groups = parameter_groups(parameters, config.weight_decay)
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
    return torch.optim.AdamW(groups, lr=learning_rate)


def _adam(groups: Groups, learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, lr=learning_rate)


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
