"""One optimizer step after another, under Lightning's Trainer."""

import math
import time
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from xturing.core.errors import LedgerError, TrainingError
from xturing.models.loss import supervised_losses, trainable
from xturing.models.settings import FinetuningConfig
from xturing.train.events import StepEnded
from xturing.train.optimizers import build_optimizer, learning_rate_factor
from xturing.train.row_losses import RowHistory
from xturing.train.schedule import MicroBatch, RunPlan


class SupervisedModule(lightning.LightningModule):
    """The loss of learnt tokens, each of which weighs the same within a step."""

    def __init__(self, model: Any, config: FinetuningConfig, plan: RunPlan) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.plan = plan
        self.planned = 0
        """Learnt tokens that were handed to the model."""
        self.in_loss = 0
        """Losses that were summed up."""
        self.history = RowHistory()
        """Losses of the training rows."""
        self._gradient_norm = 0.0
        self._begin_step()

    def _begin_step(self) -> None:
        self._loss = 0.0
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

    def training_step(self, micro: MicroBatch, batch_idx: int) -> Tensor:
        """Return the micro-batch's share of the step's mean loss.

        Raises:
            LedgerError: other tokens entered the loss than were to be learnt.
            TrainingError: the loss is no number any more.
        """
        batch = micro.batch
        losses = supervised_losses(
            self.model,
            torch.from_numpy(batch.input_ids).to(self.device),
            torch.from_numpy(batch.labels).to(self.device),
            torch.from_numpy(batch.attention_mask).to(self.device),
        )
        if len(losses) != micro.planned:
            raise LedgerError(
                f"Step {self.global_step + 1} was to teach {micro.planned} tokens of a "
                f"batch, but {len(losses)} entered the loss. Nothing that this model "
                "learnt can be trusted; please report it with the model's name."
            )
        share = losses.sum() / micro.step_planned
        value = share.detach().item()
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss became {value} at step {self.global_step + 1}. The "
                f"learning rate {self.config.learning_rate:g} is likely too high; try "
                "a tenth of it."
            )
        by_token = losses.detach().float().cpu().numpy()
        self.history.add(self.current_epoch, micro.examples, by_token)
        self.planned += micro.planned
        self.in_loss += len(losses)
        self._supervised += len(losses)
        self._tokens += int(batch.attention_mask.sum())
        self._padding += batch.padding
        self._loss += value
        # Lightning divides by the number of micro-batches; the share needs no division.
        return share * self.config.gradient_accumulation_steps

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Limit the gradient's length, and remember what it was."""
        limit = self.config.max_grad_norm or math.inf
        parameters = [parameter for _, parameter in trainable(self.model)]
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        self._gradient_norm = float(norm)

    def end_step(self, last: MicroBatch) -> StepEnded | None:
        """Return what happened in the step, if `last` was its last micro-batch."""
        if self._supervised < last.step_planned:
            return None
        ended = StepEnded(
            step=self.global_step,
            loss=self._loss,
            learning_rate=self._learning_rate(self.global_step - 1),
            gradient_norm=self._gradient_norm,
            supervised=self._supervised,
            tokens=self._tokens,
            padding=self._padding,
            seconds=time.perf_counter() - self._started,
        )
        self._begin_step()
        return ended

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer, and the schedule that follows every step of it."""
        optimizer = build_optimizer(trainable(self.model), self.config)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)
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
