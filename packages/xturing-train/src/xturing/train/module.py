"""One optimizer step after another, under Lightning's Trainer."""

import math
import time
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
from xturing.train.row_losses import RowHistory
from xturing.train.schedule import MicroBatch, RunPlan


class SupervisedModule(lightning.LightningModule):
    """What an objective lowers, all of whose units weigh the same within a step."""

    def __init__(
        self,
        model: Any,
        config: FinetuningConfig,
        plan: RunPlan,
        objective: Objective,
        *,
        first_step: int = 0,
        first_epoch: int = 0,
        history: RowHistory | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.plan = plan
        self.objective = objective
        self.planned = 0
        """Learnt tokens that were handed to the model."""
        self.in_loss = 0
        """Losses that were summed up."""
        self._first_step = first_step
        self._first_epoch = first_epoch
        self._history = history
        self._gradient_norm = 0.0
        self._begin_step()

    @property
    def steps_taken(self) -> int:
        """Optimizer steps of the run, those from before it was resumed included."""
        return self._first_step + self.global_step

    def _begin_step(self) -> None:
        self._loss = 0.0
        self._tally: Tally | None = None
        self._tokens = self._padding = self._supervised = 0
        self._started = time.perf_counter()

    def transfer_batch_to_device(
        self, batch: MicroBatch, device: torch.device, dataloader_idx: int
    ) -> MicroBatch:
        """Leave the batch alone: `training_step` takes what it needs from it."""
        return batch

    def on_train_batch_start(self, batch: MicroBatch, batch_idx: int) -> None:
        """Start the clock at a step's first micro-batch."""
        if self._supervised == 0:
            self._begin_step()
            self._baseline = self.objective.baseline(self.model, batch.step_units)

    def training_step(self, micro: MicroBatch, batch_idx: int) -> Tensor:
        """Return the micro-batch's share of the step's mean loss.

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
        self._remember(micro, scored)
        self.planned += micro.planned
        self.in_loss += scored.tokens
        self._supervised += scored.tokens
        self._tokens += int(batch.attention_mask.sum())
        self._padding += batch.padding
        self._loss += value
        if scored.tally is not None:
            self._tally = scored.tally + self._tally if self._tally else scored.tally
        # Lightning divides by the number of micro-batches; the share needs no division.
        return share * self.config.gradient_accumulation_steps

    def _remember(self, micro: MicroBatch, scored: Scored) -> None:
        """Note the losses of rows, which are there already."""
        if self._history is None or scored.token_losses is None:
            return
        self._history.epoch(self._first_epoch + self.current_epoch).add(
            [unit.row for unit in micro.units],
            [unit.supervised for unit in micro.units],
            scored.each.float().cpu().numpy(),
        )

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
        limit = self.config.max_grad_norm or math.inf
        parameters = [parameter for _, parameter in trainable(self.model)]
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        self._gradient_norm = float(norm)
        self._refuse_endless("gradient", self._gradient_norm)

    def _refuse_endless(self, name: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"The {name} became {value} at step {self.steps_taken + 1}. The "
                f"learning rate {self.config.learning_rate:g} is likely too high; try "
                "a tenth of it."
            )

    def end_step(self, last: MicroBatch) -> StepEnded | None:
        """Return what happened in the step, if `last` was its last micro-batch."""
        if self._supervised < last.step_planned:
            return None
        ended = StepEnded(
            step=self.steps_taken,
            loss=self._loss,
            learning_rate=self._learning_rate(self.steps_taken - 1),
            gradient_norm=self._gradient_norm,
            supervised=self._supervised,
            tokens=self._tokens,
            padding=self._padding,
            seconds=time.perf_counter() - self._started,
            comparison=self._tally.comparison() if self._tally else None,
        )
        self._begin_step()
        return ended

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer, and the schedule that follows every step of it."""
        optimizer = build_optimizer(trainable(self.model), self.config)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self._factor(self._first_step + step)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _factor(self, step: int) -> float:
        return learning_rate_factor(
            step,
            steps=self.plan.steps,
            warmup_steps=self.plan.warmup_steps,
            scheduler=self.config.scheduler,
        )

    def _learning_rate(self, step: int) -> float:
        return self.config.learning_rate * self._factor(step)
