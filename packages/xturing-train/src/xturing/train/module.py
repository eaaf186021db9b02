"""One optimizer step after another, under Lightning's Trainer."""

import math
import time
from dataclasses import astuple
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from xturing.core.errors import LedgerError, TrainingError
from xturing.models.loss import trainable
from xturing.models.settings import FinetuningConfig
from xturing.train.events import StepEnded
from xturing.train.neftune import noisy_embeddings
from xturing.train.objectives.base import Objective, Scored
from xturing.train.objectives.comparison import Tally
from xturing.train.optimizers import build_optimizer, learning_rate_factor
from xturing.train.planning.pace import Pace
from xturing.train.row_losses import RowHistory
from xturing.train.schedule import MicroBatch, RunPlan
from xturing.train.state import Progress
from xturing.train.strategies.processes import Processes
from xturing.train.strategies.whole import Whole

MORE_TO_COME = 2**30
"""Micro-batches to a step, told to Lightning where the step does not end yet. A power
of two: losses are multiplied and divided by it without rounding."""


class SupervisedModule(lightning.LightningModule):
    """What an objective lowers, all of whose units weigh the same within a step."""

    def __init__(
        self,
        model: Any,
        config: FinetuningConfig,
        plan: RunPlan,
        objective: Objective,
        *,
        before: Progress | None = None,
        processes: Processes | None = None,
        layout: Whole | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.plan = plan
        self.objective = objective
        self._before = before or Progress()
        self.planned = self._before.planned
        """Learnt tokens that were handed to the model."""
        self.in_loss = self._before.in_loss
        """Losses that were summed up."""
        self.pace: Pace | None = None
        """What the learning rate follows in a run with a deadline."""
        self.history: RowHistory | None = None
        """Where losses of rows are noted, if they are."""
        self._processes = processes or Processes()
        self._layout = layout or Whole(model)
        self._gradient_norm = 0.0
        self._begin_step()

    @property
    def steps_taken(self) -> int:
        """Optimizer steps of the run, those from before it was resumed included."""
        return self._before.step + self.global_step

    def _begin_step(self) -> None:
        self._loss = 0.0
        self._tally: Tally | None = None
        self._tokens = self._padding = self._supervised = self._planned = 0
        self._is_new_step = True
        self._started = time.perf_counter()

    def transfer_batch_to_device(
        self, batch: MicroBatch, device: torch.device, dataloader_idx: int
    ) -> MicroBatch:
        """Leave the batch alone: `training_step` takes what it needs from it."""
        return batch

    def on_train_batch_start(self, batch: MicroBatch, batch_idx: int) -> None:
        """Start the clock at a step's first micro-batch."""
        # Steps have as many micro-batches as their rows need. Lightning steps where
        # this number divides that of the micro-batch.
        self.trainer.accumulate_grad_batches = 1 if batch.ends_step else MORE_TO_COME
        if self._is_new_step:
            self.zero_grad(set_to_none=True)
            self._begin_step()
            self._is_new_step = False
            self._baseline = self.objective.baseline(self.model, batch.step_units)

    def training_step(self, micro: MicroBatch, batch_idx: int) -> Tensor:
        """Return the micro-batch's share of the step's mean loss, scaled to be learnt.

        Raises:
            LedgerError: other tokens entered the loss than were to be learnt.
            TrainingError: the loss is no number any more.
        """
        batch = micro.batch
        lengths = torch.from_numpy(batch.attention_mask.sum(axis=1))
        with noisy_embeddings(self.model, self.config.neftune_alpha, lengths):
            scored = self.objective.score(self.model, batch, self._baseline)
        if scored.tokens != micro.planned:
            raise LedgerError(
                f"Step {self.steps_taken + 1} was to teach {micro.planned} tokens of a "
                f"batch, but {scored.tokens} entered the loss. Nothing that this model "
                "learnt can be trusted; please report it with the model's name."
            )
        share = scored.losses.sum() / micro.step_weight
        value = share.detach().item()
        self._refuse_endless("loss", value)
        if micro.counts:
            self._add(micro, scored, value)
        # Lightning divides by the number of micro-batches, and its strategies by that
        # of processes; the share needs no division.
        parts = self.trainer.accumulate_grad_batches * self._processes.count
        return share * (parts * micro.counts * micro.step_scale)

    def _add(self, micro: MicroBatch, scored: Scored, loss: float) -> None:
        self._planned += micro.planned
        self._supervised += scored.tokens
        self._tokens += int(micro.batch.attention_mask.sum())
        self._padding += micro.batch.padding
        self._loss += loss
        if scored.tally is not None:
            self._tally = scored.tally + self._tally if self._tally else scored.tally
        if scored.token_losses is not None and self.history is not None:
            self.history.epoch(self._before.epoch + self.current_epoch).add(
                [unit.row for unit in micro.units],
                [unit.supervised for unit in micro.units],
                scored.each.float().cpu().numpy(),
            )

    def optimizer_zero_grad(
        self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer
    ) -> None:
        """Keep the gradients: they are forgotten when a step begins."""

    def configure_model(self) -> None:
        """Spread the model over the processes, where it is to be divided."""
        self._layout.divide(self.device_mesh)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Limit the gradient's length, and remember what it was.

        Raises:
            TrainingError: it is no number any more; the weights are still good.
        """
        parameters = [parameter for _, parameter in trainable(self.model)]
        norm = self._layout.clip(parameters, self.config.max_grad_norm)
        self._gradient_norm = norm
        self._refuse_endless("gradient", norm)

    def _refuse_endless(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"The {name} became {value} at step {self.steps_taken + 1}. The "
                f"learning rate {self.config.learning_rate:g} is likely too high; try "
                "a tenth of it."
            )

    def end_step(self, last: MicroBatch) -> StepEnded | None:
        """Return what happened in the step, if `last` was its last micro-batch.

        What happened in other processes is part of it.
        """
        if not last.ends_step:
            return None
        norm = self._layout.gradient_norm(self._gradient_norm)
        self._refuse_endless("gradient", norm)
        tally = astuple(self._tally or Tally())
        counts = (self._planned, self._supervised, self._tokens, self._padding)
        loss, *sums = self._processes.total([self._loss, *counts, *tally])
        planned, supervised, tokens, padding = (round(each) for each in sums[:4])
        whole = Tally.of(sums[4:])
        self.planned += planned
        self.in_loss += supervised
        ended = StepEnded(
            step=self.steps_taken,
            loss=loss,
            learning_rate=self._learning_rate(self.steps_taken - 1),
            gradient_norm=norm,
            supervised=supervised,
            tokens=tokens,
            padding=padding,
            seconds=time.perf_counter() - self._started,
            comparison=whole.comparison() if whole.cases else None,
        )
        self._begin_step()
        return ended

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer, and the schedule that follows every step of it."""
        optimizer = build_optimizer(trainable(self.model), self.config)
        self._layout.adopt(optimizer)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self._factor(self._before.step + step)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _factor(self, step: int) -> float:
        if self.pace is not None:
            return self.pace.factor(step)
        return learning_rate_factor(
            step,
            steps=self.plan.steps,
            warmup_steps=self.plan.warmup_steps,
            scheduler=self.config.scheduler,
        )

    def _learning_rate(self, step: int) -> float:
        return self.config.learning_rate * self._factor(step)
