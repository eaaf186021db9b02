"""Real micro-steps that teach nothing: how long they take, and how much memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from time import perf_counter
from typing import Any

import torch

from xturing.models.base import BaseModel
from xturing.models.checkpointing import checkpointed
from xturing.models.loss import trainable
from xturing.models.settings import FinetuningConfig
from xturing.train.dropout import without_dropout
from xturing.train.memory import peak_of, reset_peak_of, return_memory
from xturing.train.objectives.base import Objective
from xturing.train.optimizers import build_optimizer
from xturing.train.planning.costs import Measured, Shape, StepCosts
from xturing.train.schedule import RunPlan
from xturing.train.throughput import fast_passes

MOST_NUMBERS = 1 << 24
"""Numbers that an optimizer is tried on; what it costs grows in step with them."""


class MicroSteps:
    """Takes forward and backward passes of a model as training would take them."""

    def __init__(
        self,
        model: BaseModel,
        objective: Objective,
        config: FinetuningConfig,
        plan: RunPlan,
    ) -> None:
        self._owner = model
        self._plan = plan
        self._model = model.engine.model
        self._device = model.engine.device
        self._objective = objective
        self._config = config

    @contextmanager
    def training(self, *, is_checkpointed: bool) -> Iterator[None]:
        """Have the model train inside the block; nothing of it stays afterwards.

        It drops, keeps and compiles what it will in the run.
        """
        model, was_training = self._model, self._model.training
        with (
            torch.random.fork_rng(),
            nullcontext() if self._objective.has_dropout else without_dropout(model),
            checkpointed(model) if is_checkpointed else nullcontext(),
            fast_passes(self._owner, self._config, self._plan, is_grouped=False),
        ):
            model.train()
            try:
                yield
            finally:
                model.train(was_training)
                for _, parameter in trainable(model):
                    parameter.grad = None
                return_memory()

    def measure(self, units: Sequence[Any]) -> Measured:
        """Return what a micro-batch of these units takes, its gradients left behind."""
        self._make_gradients()
        reset_peak_of(self._device.name)
        started = perf_counter()
        with self._precision():
            baseline = self._objective.baseline(self._model, units)
            batch = self._objective.collate(units)
            scored = self._objective.score(self._model, batch, baseline)
            loss = scored.losses.sum() / self._objective.weight(units)
        loss.backward()
        self._wait()
        seconds = perf_counter() - started
        length = self._objective.sequences_per_unit * max(map(len, units))
        return Measured(
            shape=Shape(len(units), length),
            seconds=seconds,
            peak_bytes=peak_of(self._device.name),
        )

    def measure_step(self) -> StepCosts:
        """Return what a step of the optimizer takes, by trying it on other numbers."""
        self._make_gradients()
        reset_peak_of(self._device.name)
        idle = peak_of(self._device.name)
        named = trainable(self._model)
        total = sum(parameter.numel() for _, parameter in named)
        stand_ins: list[tuple[str, torch.nn.Parameter]] = []
        tried = 0
        for name, parameter in named:
            stand_in = torch.nn.Parameter(torch.zeros_like(parameter))
            stand_in.grad = torch.zeros_like(parameter)
            stand_ins.append((name, stand_in))
            tried += parameter.numel()
            if tried >= MOST_NUMBERS:
                break
        optimizer = build_optimizer(stand_ins, self._config)
        optimizer.step()
        started = perf_counter()
        torch.nn.utils.clip_grad_norm_([each for _, each in stand_ins], 1.0)
        optimizer.step()
        self._wait()
        seconds = perf_counter() - started
        remembered = sum(
            value.nbytes
            for memory in optimizer.state.values()
            for value in memory.values()
            if isinstance(value, torch.Tensor)
        )
        return StepCosts(
            seconds=seconds * total / tried,
            bytes=remembered * total // tried,
            idle_bytes=idle,
        )

    def _make_gradients(self) -> None:
        """Have gradients, as those of a step's other micro-batches are there, too."""
        for _, parameter in trainable(self._model):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def _precision(self) -> Any:
        if self._device.dtype is torch.bfloat16:
            return torch.autocast(self._device.name, torch.bfloat16)
        return nullcontext()

    def _wait(self) -> None:
        if self._device.name == "cuda":
            torch.cuda.synchronize()
