"""Optimizer, gradients or weights divided among the processes by DeepSpeed (ZeRO).

It runs on processors too, by Gloo, though Lightning asks it for GPUs alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import nan
from types import ModuleType
from typing import Any

import torch
from lightning.pytorch.plugins.precision import DeepSpeedPrecision
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy
from torch import Tensor, nn

from xturing.core.extras import require
from xturing.train.state import OPTIMIZER, Tensors
from xturing.train.strategies.place import Place
from xturing.train.strategies.twin import Twin
from xturing.train.strategies.whole import BACKENDS

BUCKET = 5_000_000
"""Numbers that processors send at once; buffers of this size are kept."""


class ZeroRedundancy(Twin):
    """How a model is trained of whose training each process holds a part."""

    def __init__(self, model: Any, stage: int, *, offload: bool) -> None:
        super().__init__(model)
        self.stage = stage
        self.offload = offload
        self.divides_frozen = stage == 3
        self._parameters: list[nn.Parameter] = []
        self._strategy: Any = None

    def options(
        self, place: Place, device: str, precision: Any, limit: float | None
    ) -> dict[str, Any]:
        """Return what Lightning's Trainer is to be told."""
        deepspeed = deepspeed_library()
        is_cpu = device == "cpu"
        own: dict[str, Any] = {}
        if is_cpu:
            # Its shared memory would have to be compiled first, for a minute or so.
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
            own = {
                "overlap_comm": False,
                "allgather_bucket_size": BUCKET,
                "reduce_bucket_size": BUCKET,
            }
        kind = _OnProcessors if is_cpu else _OnGPUs
        self._strategy = kind(
            stage=self.stage,
            offload_optimizer=self.offload,
            offload_parameters=self.offload and self.stage == 3,
            process_group_backend=BACKENDS[device],
            logging_batch_size_per_gpu=1,
            **own,
        )
        self._strategy.config |= {
            # A step has as many passes as its rows need: it ends when we say so.
            "managed_gradient_accumulation": False,
            "gradient_clipping": limit or 0.0,
            "zero_force_ds_cpu_optimizer": False,
        }
        self._strategy.precision_plugin = _Precision(precision)
        return {"strategy": self._strategy, "precision": None}

    def adopt(self, optimizer: torch.optim.Optimizer) -> None:
        """Take note of the optimizer, before the engine wraps it."""
        groups = optimizer.param_groups
        self._parameters = [each for group in groups for each in group["params"]]

    def clip(self, parameters: Sequence[Tensor], limit: float | None) -> float:
        """Leave it to the engine, which limits the gradient as it takes the step."""
        return 0.0

    def gradient_norm(self, seen: float) -> float:
        """Return the norm of the step's gradient, known once the step was taken."""
        engine = self._strategy.deepspeed_engine
        # A step along a gradient that is no number is left out.
        return (
            float(engine.get_global_grad_norm()) if engine.was_step_applied() else nan
        )

    def optimizer_state(self, optimizer: Any) -> tuple[Tensors, dict[str, Any]]:
        """Return what the optimizer remembers, as if there were one process."""
        from deepspeed.utils import safe_get_full_optimizer_state

        tensors: Tensors = {}
        others: dict[str, Any] = {}
        flat = self._flat(optimizer)
        self._link(optimizer)
        for name, value in optimizer.optimizer.state[flat[0]].items():
            for index, parameter in enumerate(self._parameters):
                key = f"{OPTIMIZER}{index}.{name}"
                if not isinstance(value, Tensor):
                    others[key] = value
                elif value.shape != flat[0].shape:
                    tensors[key] = value.clone()
                else:
                    whole: Any = safe_get_full_optimizer_state(parameter, name)
                    tensors[key] = whole.clone()
        return tensors, others

    def restore_optimizer(
        self,
        optimizer: Any,
        tensors: Tensors,
        others: dict[str, Any],
    ) -> None:
        """Have the optimizer remember what `optimizer_state` returned."""
        known: dict[str, Any] = tensors | others
        first = f"{OPTIMIZER}0."
        names = [key.removeprefix(first) for key in known if key.startswith(first)]
        memory: dict[str, Any] = {name: known[first + name] for name in names}
        shape = self._shape(self._parameters[0])
        for part in self._flat(optimizer):
            optimizer.optimizer.state[part] = {
                name: torch.zeros_like(part) if _like(value, shape) else _copied(value)
                for name, value in memory.items()
            }
        self._link(optimizer)
        for index, parameter in enumerate(self._parameters):
            for name, value in memory.items():
                if _like(value, shape):
                    whole = known[f"{OPTIMIZER}{index}.{name}"]
                    self._put(parameter, whole.to(parameter.device), name)

    def _link(self, optimizer: Any) -> None:
        """Have weights find what the optimizer remembers of them."""
        # The engine does so when the first group of weights has taken its first step,
        # and so finds nothing of the other groups.
        from deepspeed.utils import lazy_init_hp_params_optimizer_state

        if self.stage < 3:
            for weights, part in zip(
                optimizer.bit16_groups, self._flat(optimizer), strict=True
            ):
                state = optimizer.optimizer.state
                lazy_init_hp_params_optimizer_state(weights, part, state)

    def _put(self, parameter: Any, whole: Tensor, name: str) -> None:
        from deepspeed.utils import (
            safe_set_full_optimizer_state,
            safe_set_local_optimizer_state,
        )

        if self.stage < 3:
            safe_set_full_optimizer_state(parameter, whole, name)
            return
        # The last part is filled up; the engine's own division would run over the end.
        size = parameter.ds_tensor.numel()
        padded = whole.new_zeros(size * torch.distributed.get_world_size())
        padded[: whole.numel()] = whole.flatten()
        own = padded[size * torch.distributed.get_rank() :][:size]
        safe_set_local_optimizer_state(parameter, own, name)

    def whole_value(self, parameter: nn.Parameter) -> Tensor:
        """Return all values of a parameter of the twin, in the optimizer's format."""
        deepspeed: Any = deepspeed_library()
        if parameter.requires_grad:
            return deepspeed.utils.safe_get_full_fp32_param(parameter).clone()
        with deepspeed.zero.GatheredParameters([parameter]):
            return parameter.data.clone()

    def close(self) -> None:
        """Have all of the model's weights be what the twin's are, for good."""
        super().close()
        self._strategy.deepspeed_engine.destroy()

    def _flat(self, optimizer: Any) -> list[Tensor]:
        """Return this process's part of each group of weights."""
        if self.stage == 3:
            return optimizer.fp32_partitioned_groups_flat
        return optimizer.single_partition_of_fp32_groups

    @staticmethod
    def _shape(parameter: Any) -> torch.Size:
        return getattr(parameter, "ds_shape", parameter.shape)


def deepspeed_library() -> ModuleType:
    """Return DeepSpeed.

    Raises:
        MissingDependencyError: it is not installed.
    """
    return require("deepspeed", package="xturing-train", extra="deepspeed")


def _like(value: object, shape: torch.Size) -> bool:
    return isinstance(value, Tensor) and value.shape == shape


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


class _Precision(DeepSpeedPrecision):
    """DeepSpeed's number formats, of a model whose batches hold no tensors."""

    def convert_input(self, data: Any) -> Any:
        return data


class _OnGPUs(DeepSpeedStrategy):
    """Lightning's way with DeepSpeed, where it is we who say when a step ends."""

    config: dict[str, Any]

    @property
    def handles_gradient_accumulation(self) -> bool:
        return False

    @contextmanager
    def block_backward_sync(self) -> Iterator[None]:
        # The engine adds gradients up by itself, and refuses to be asked to.
        yield

    def _format_batch_size_and_grad_accum_config(self) -> None:
        self.config |= {
            "gradient_accumulation_steps": 1,
            "train_micro_batch_size_per_gpu": 1,
        }

    def init_deepspeed(self) -> None:
        # Lightning would warn that gradients are limited by the engine: so they are.
        module: Any = self.model
        self._initialize_deepspeed_train(module)


class _OnProcessors(_OnGPUs):
    """The same without a GPU."""

    def setup_environment(self) -> None:
        DDPStrategy.setup_environment(self)

    @property
    def root_device(self) -> torch.device:
        # DeepSpeed wants a number.
        return torch.device("cpu", self.local_rank)

    @property
    def parallel_devices(self) -> list[torch.device] | None:
        devices = self._parallel_devices
        if devices is None:
            return None
        return [torch.device("cpu", index) for index in range(len(devices))]

    @parallel_devices.setter
    def parallel_devices(self, parallel_devices: list[torch.device] | None) -> None:
        self._parallel_devices = parallel_devices
