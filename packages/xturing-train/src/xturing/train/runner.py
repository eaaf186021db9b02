"""A planned run under Lightning's Trainer, with its validations and checkpoints."""

import logging
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import Logger

from xturing.data.encoding import Encoded
from xturing.models.base import BaseModel
from xturing.models.settings import FinetuningConfig
from xturing.train.evaluation import held_out_loss
from xturing.train.events import CheckpointSaved
from xturing.train.module import SupervisedModule
from xturing.train.recorder import Recorder, save_checkpoint
from xturing.train.row_losses import RowHistory
from xturing.train.schedule import Epochs, RunPlan
from xturing.train.trackers import log

Loggers = bool | Logger | Iterable[Logger] | None


@dataclass(frozen=True)
class Run:
    """All that a run needs."""

    model: BaseModel
    config: FinetuningConfig
    plan: RunPlan
    epochs: Epochs
    held_out: Encoded | None
    recorder: Recorder
    folder: Path


@dataclass(frozen=True)
class Fact:
    """What really happened."""

    steps: int
    planned: int
    """Learnt tokens that were handed to the model."""
    in_loss: int
    """Losses that were summed up."""
    history: RowHistory
    """Losses of the training rows."""


def carry_out(run: Run, loggers: Sequence[Logger]) -> Fact:
    """Take the run's steps, between a first and a last validation.

    Raises:
        TrainingError: the loss is no number any more.
        KeyboardInterrupt: the user stopped it; a checkpoint was written.
    """
    with own_randomness(run.config.seed), _quiet_lightning():
        module = SupervisedModule(run.model.engine.model, run.config, run.plan)
        watcher = Watcher(run, loggers)
        trainer = lightning.Trainer(
            accelerator=_ACCELERATORS[run.model.engine.device.name],
            devices=1,
            precision=_precision(run.model),
            max_steps=run.plan.steps,
            max_epochs=run.plan.epochs,
            accumulate_grad_batches=run.config.gradient_accumulation_steps,
            logger=list(loggers) or False,
            log_every_n_steps=1,
            callbacks=[watcher],
            default_root_dir=run.folder,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        try:
            watcher.validate(0)
            run.model.engine.model.train()
            _fit(trainer, module, run.epochs)
        finally:
            run.model.engine.model.eval()
    return Fact(trainer.global_step, module.planned, module.in_loss, module.history)


class Watcher(lightning.Callback):
    """Validates, saves and stops at the steps that the settings name."""

    def __init__(self, run: Run, loggers: Sequence[Logger]) -> None:
        self._run = run
        self._loggers = loggers

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: Any,
        outputs: object,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Do what is due after an optimizer step."""
        ended = pl_module.end_step(batch)
        if ended is None:
            return
        config = self._run.config
        self._run.recorder.add(ended)
        if ended.step % config.logging_steps == 0:
            log(self._loggers, ended)
        if ended.step == self._run.plan.steps:
            return
        if ended.step % config.eval_steps == 0:
            self.validate(ended.step)
            trainer.should_stop = trainer.should_stop or self._is_stuck()
        if ended.step % config.save_steps == 0:
            self._save(ended.step)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Score the held-out rows once more, before the loggers are closed."""
        self.validate(trainer.global_step)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException
    ) -> None:
        """Keep what was learnt when the user stops the run."""
        if isinstance(exception, KeyboardInterrupt) and trainer.global_step:
            self._save(trainer.global_step)

    def validate(self, step: int) -> None:
        """Score the held-out rows, if there are any."""
        if self._run.held_out is None:
            return
        engine = self._run.model.engine
        loss = held_out_loss(
            engine.model,
            self._run.held_out.examples,
            pad_id=engine.pad_id,
            batch_size=self._run.config.batch_size,
        )
        log(self._loggers, self._run.recorder.score(step, loss))

    def _is_stuck(self) -> bool:
        """Tell whether the loss has not fallen for too many validations."""
        patience = self._run.config.early_stopping_patience
        losses = [validated.loss for validated in self._run.recorder.validations]
        if patience is None or len(losses) <= patience:
            return False
        return min(losses[-patience:]) >= min(losses[:-patience])

    def _save(self, step: int) -> None:
        limit = self._run.config.save_total_limit
        path = save_checkpoint(self._run.model, self._run.folder, step, limit)
        self._run.recorder.add(CheckpointSaved(step=step, path=path))


_ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


def _precision(model: BaseModel) -> Any:
    half = model.engine.device.dtype is torch.bfloat16
    return "bf16-mixed" if half else "32-true"


def listed(logger: Loggers) -> list[Logger]:
    """Return the loggers that a user gave."""
    if logger is None or isinstance(logger, bool):
        return []
    return [logger] if isinstance(logger, Logger) else list(logger)


def _fit(trainer: lightning.Trainer, module: SupervisedModule, epochs: Epochs) -> None:
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, train_dataloaders=epochs)
    except SystemExit:
        # Lightning turns Ctrl-C into an exit, and leaves it switched off.
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed dropout and first weights, and leave the caller's random state as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's notes on devices and advertisements from the user's terminal."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
