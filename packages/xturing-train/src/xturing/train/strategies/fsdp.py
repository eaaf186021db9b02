"""Weights, gradients and optimizer divided among the processes by PyTorch (FSDP2).

The first generation of FSDP needs a GPU and does not come back exactly when resumed.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from xturing.models.blocks import decoder_blocks
from xturing.train.state import Tensors, optimizer_state, restore_optimizer
from xturing.train.strategies.place import Place
from xturing.train.strategies.twin import Twin
from xturing.train.strategies.whole import BACKENDS


class FullySharded(Twin):
    """How a model is trained of which each process holds a part."""

    def options(
        self, place: Place, device: str, precision: Any, limit: float | None
    ) -> dict[str, Any]:
        """Return what Lightning's Trainer is to be told."""
        from lightning.pytorch.strategies import ModelParallelStrategy

        strategy = ModelParallelStrategy(
            data_parallel_size=place.world_size,
            tensor_parallel_size=1,
            save_distributed_checkpoint=False,
            process_group_backend=BACKENDS[device],
        )
        return {"strategy": strategy, "precision": precision}

    def divide(self, mesh: Any) -> None:
        """Spread the network over the processes, a decoder block at a time."""
        from torch.distributed.fsdp import fully_shard

        part = mesh["data_parallel"]
        for block in decoder_blocks(self.network):
            fully_shard(block, mesh=part)
        fully_shard(self.network, mesh=part)

    def clip(self, parameters: Sequence[Tensor], limit: float | None) -> float:
        """Limit the gradient's L2 norm, and return what it was."""
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit or math.inf)
        return float(whole(norm))

    def optimizer_state(
        self, optimizer: torch.optim.Optimizer
    ) -> tuple[Tensors, dict[str, Any]]:
        """Return what the optimizer remembers, as if there were one process."""
        tensors, others = optimizer_state(optimizer)
        return {name: whole(tensor) for name, tensor in tensors.items()}, others

    def restore_optimizer(
        self,
        optimizer: torch.optim.Optimizer,
        tensors: Tensors,
        others: dict[str, Any],
    ) -> None:
        """Have the optimizer remember what `optimizer_state` returned."""
        restore_optimizer(optimizer, tensors, others)
        parts: Any = optimizer.state.items()
        for parameter, memory in parts:
            for name, value in memory.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    memory[name] = distribute_tensor(
                        value.to(parameter.device),
                        parameter.device_mesh,
                        parameter.placements,
                    )

    def whole_value(self, parameter: nn.Parameter) -> Tensor:
        """Return all values of a parameter of the twin."""
        return whole(parameter)


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor of which each process has a part."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
