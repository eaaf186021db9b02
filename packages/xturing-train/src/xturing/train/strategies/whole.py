"""Every process holds a whole model: one process, or several under DDP."""

import inspect
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from xturing.train.state import Tensors, optimizer_state, restore_optimizer
from xturing.train.strategies.place import Place

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


class Whole:
    """How a model is trained that is whole in every process.

    The other layouts are classes like this one, which differ in what they override.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        """The model as its owner knows it."""
        self.network = model
        """What is trained; it has the same names of parameters."""

    def options(
        self, place: Place, device: str, precision: Any, limit: float | None
    ) -> dict[str, Any]:
        """Return what Lightning's Trainer is to be told; `limit` is the gradient's."""
        from lightning.pytorch.strategies import DDPStrategy

        # All processes opened the same weights, so none has to send them to others.
        options: dict[str, Any] = {"init_sync": False, **_without_buffers()}
        strategy = DDPStrategy(process_group_backend=BACKENDS[device], **options)
        return {"strategy": strategy, "precision": precision}

    def divide(self, mesh: Any) -> None:
        """Spread the network over the processes, before it gets an optimizer."""

    def adopt(self, optimizer: torch.optim.Optimizer) -> None:
        """Take note of the optimizer, before an engine wraps it."""

    def clip(self, parameters: Sequence[Tensor], limit: float | None) -> float:
        """Limit the gradient's L2 norm, and return what it was."""
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit or math.inf)
        return float(norm)

    def gradient_norm(self, seen: float) -> float:
        """Return the norm of the step's gradient; `seen` is what `clip` returned."""
        return seen

    def optimizer_state(
        self, optimizer: torch.optim.Optimizer
    ) -> tuple[Tensors, dict[str, Any]]:
        """Return what the optimizer remembers, as if there were one process."""
        return optimizer_state(optimizer)

    def restore_optimizer(
        self,
        optimizer: torch.optim.Optimizer,
        tensors: Tensors,
        others: dict[str, Any],
    ) -> None:
        """Have the optimizer remember what `optimizer_state` returned."""
        restore_optimizer(optimizer, tensors, others)

    def release(self) -> None:
        """Let go of memory that is not needed, now that the engine is set up."""

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Have the model's trainable weights be what the network's are."""
        yield

    def close(self) -> None:
        """Have all of the model's weights be what the network's are, for good."""


def _without_buffers() -> dict[str, bool]:
    """Return what keeps DDP from sending buffers with every pass: none is changed."""
    known = inspect.signature(DistributedDataParallel).parameters
    new, old = "forward_sync_buffers", "broadcast_buffers"
    return {new if new in known else old: False}
