"""All that a run is at the end of a step: tensors, and numbers beside them.

Batches are a function of seed and epoch, and the learning rate is one of the step, so
neither needs a state: to know how many steps were taken is enough.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from xturing.core.errors import TrainingError
from xturing.models.loss import trainable
from xturing.train.events import StepEnded, Validated
from xturing.train.objectives.comparison import Comparison

Tensors = dict[str, Tensor]

PARAMETER = "parameter."
OPTIMIZER = "optimizer."
CPU_RANDOMNESS = "random.cpu"
GPU_RANDOMNESS = "random.cuda"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come, and what it was like until there."""

    step: int = 0
    """Optimizer steps that were taken."""
    epoch: int = 0
    """Epoch of the last one, counted from 0."""
    epoch_step: int = 0
    """Those that were taken in that epoch."""
    planned: int = 0
    """Learnt tokens that were handed to the model."""
    in_loss: int = 0
    """Losses that were summed up."""
    steps: tuple[StepEnded, ...] = ()
    validations: tuple[Validated, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the progress for a JSON file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Progress":
        """Return what `as_dict` described."""
        steps = tuple(StepEnded(**_compared(each)) for each in values["steps"])
        validations = tuple(Validated(**_compared(v)) for v in values["validations"])
        return cls(**values | {"steps": steps, "validations": validations})


def _compared(values: dict[str, Any]) -> dict[str, Any]:
    found = values["comparison"]
    return values | {"comparison": Comparison(**found) if found else None}


def model_tensors(model: Any) -> Tensors:
    """Return what training changes of a torch model.

    Raises:
        TrainingError: a weight is no number any more.
    """
    tensors: Tensors = {}
    for name, parameter in trainable(model):
        if not math.isfinite(float(parameter.detach().abs().max())):
            raise TrainingError(
                f"The weights {name} are no numbers any more, so they were not saved. "
                "The learning rate is likely too high; try a tenth of it."
            )
        tensors[PARAMETER + name] = parameter.detach().contiguous()
    return tensors


def restore_model(model: Any, tensors: Tensors) -> None:
    """Set a torch model's trainable parameters to what they were."""
    with torch.no_grad():
        for name, parameter in trainable(model):
            parameter.copy_(tensors[PARAMETER + name])


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[Tensors, dict[str, Any]]:
    """Return what an optimizer remembers: the tensors, and all else by their names."""
    tensors: Tensors = {}
    others: dict[str, Any] = {}
    for index, memory in optimizer.state_dict()["state"].items():
        for name, value in memory.items():
            key = f"{OPTIMIZER}{index}.{name}"
            if isinstance(value, Tensor):
                tensors[key] = value.detach().contiguous()
            else:
                others[key] = value
    return tensors, others


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Tensors, others: dict[str, Any]
) -> None:
    """Have an optimizer remember what it did; its learning rates stay."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in (tensors | others).items():
        if key.startswith(OPTIMIZER):
            index, _, name = key.removeprefix(OPTIMIZER).partition(".")
            state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def randomness(rank: int = 0) -> Tensors:
    """Return the states of a process's generators, which dropout draws from."""
    states = {CPU_RANDOMNESS: torch.random.get_rng_state()}
    if torch.cuda.is_initialized():
        states[GPU_RANDOMNESS] = torch.cuda.get_rng_state()
    return {_of_process(rank) + name: state for name, state in states.items()}


def restore_randomness(tensors: Tensors, rank: int = 0) -> None:
    """Have a process's generators go on from where they were."""
    process = _of_process(rank)
    torch.random.set_rng_state(tensors[process + CPU_RANDOMNESS])
    if process + GPU_RANDOMNESS in tensors:
        torch.cuda.set_rng_state(tensors[process + GPU_RANDOMNESS])


def _of_process(rank: int) -> str:
    return f"process.{rank}." if rank else ""
