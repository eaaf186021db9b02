"""A planned run under Lightning's Trainer, with its validations and checkpoints."""

import logging
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import Logger

from xturing.core.events import tell
from xturing.models.base import BaseModel
from xturing.models.settings import FinetuningConfig
from xturing.train.checkpoints import PREFIX, Snapshot, save_checkpoint
from xturing.train.evaluation import HeldOutLoss, held_out_score
from xturing.train.events import CheckpointSaved, RunStopped, Validated
from xturing.train.module import SupervisedModule
from xturing.train.objectives.base import Objective, Units
from xturing.train.observed import Observed
from xturing.train.recorder import Recorder
from xturing.train.reporting.additions import Additions
from xturing.train.schedule import Epochs, MicroBatch, RunPlan
from xturing.train.state import (
    Progress,
    model_tensors,
    optimizer_state,
    randomness,
    restore_model,
    restore_optimizer,
    restore_randomness,
)
from xturing.train.stopping import StopRequest
from xturing.train.trackers import log

Loggers = bool | Logger | Iterable[Logger] | None


@dataclass(frozen=True)
class Run:
    """All that a run needs."""

    model: BaseModel
    config: FinetuningConfig
    plan: RunPlan
    epochs: Epochs
    objective: Objective
    held_out: Units | None
    recorder: Recorder
    folder: Path
    identity: dict[str, Any]
    """What decides what is learnt, see `resuming.identity`."""
    stop: StopRequest
    resumed: Snapshot | None
    """What the run goes on from; None: it starts."""
    observed: Observed
    additions: Additions
    """What is said in the report beside what the run itself does."""

    @property
    def before(self) -> Progress:
        """How far the run had come when it was resumed."""
        return self.resumed.progress if self.resumed else Progress()


@dataclass(frozen=True)
class Fact:
    """What really happened."""

    steps: int
    planned: int
    """Learnt tokens that were handed to the model."""
    in_loss: int
    """Losses that were summed up."""


def carry_out(run: Run, loggers: Sequence[Logger]) -> Fact:
    """Take the run's steps, between a first and a last validation.

    Raises:
        TrainingError: the loss is no number any more.
        KeyboardInterrupt: the user stopped it; a checkpoint was written.
        SystemExit: the system did so, by SIGTERM.
    """
    before = run.before
    with own_randomness(run.config.seed), _quiet_lightning():
        torch_model = run.model.engine.model
        module = SupervisedModule(
            torch_model,
            run.config,
            run.plan,
            run.objective,
            first_step=before.step,
            first_epoch=before.epoch,
            history=run.observed.history,
        )
        module.planned, module.in_loss = before.planned, before.in_loss
        watcher = Watcher(run, loggers)
        trainer = lightning.Trainer(
            accelerator=_ACCELERATORS[run.model.engine.device.name],
            devices=1,
            precision=_precision(run.model),
            max_steps=run.plan.steps - before.step,
            max_epochs=run.plan.epochs - before.epoch,
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
            if run.resumed is None:
                watcher.validate(0)
            else:
                _take_up(run, run.resumed)
            if run.stop.signal is None:
                torch_model.train()
                drops = run.objective.has_dropout
                with nullcontext() if drops else _no_dropout(torch_model):
                    _fit(trainer, module, RemainingEpochs(run.epochs, before))
            if run.stop.signal is not None and module.steps_taken < run.plan.steps:
                _end_early(run, module.steps_taken)
        finally:
            torch_model.eval()
    return Fact(module.steps_taken, module.planned, module.in_loss)


class RemainingEpochs:
    """The micro-batches of the epochs that are left.

    Lightning sets the epoch, as it would a sampler's, and counts from 0. There is no
    length, since the first may be a part of an epoch: Lightning sees by itself which
    micro-batch is the last.
    """

    def __init__(self, epochs: Epochs, before: Progress) -> None:
        self._epochs = epochs
        self._before = before
        self._skipped_steps = 0
        self.set_epoch(0)

    @property
    def sampler(self) -> "RemainingEpochs":
        """What Lightning tells the epoch to."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that is iterated over next."""
        self._epochs.set_epoch(self._before.epoch + epoch)
        self._skipped_steps = self._before.epoch_step if epoch == 0 else 0

    def __iter__(self) -> Iterator[MicroBatch]:
        steps_to_skip, learnt = self._skipped_steps, 0
        for micro in self._epochs:
            if not steps_to_skip:
                yield micro
                continue
            learnt += micro.planned
            if learnt == micro.step_planned:
                steps_to_skip, learnt = steps_to_skip - 1, 0


class Watcher(lightning.Callback):
    """Validates, saves and stops at the steps that the settings name."""

    def __init__(self, run: Run, loggers: Sequence[Logger]) -> None:
        self._run = run
        self._loggers = loggers
        self._epoch_step = run.before.epoch_step

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Go on from a checkpoint, now that there is an optimizer."""
        # Lightning has handlers of its own, which end the run in the middle of a step.
        self._run.stop.listen()
        resumed = self._run.resumed
        if resumed is not None:
            optimizer = trainer.optimizers[0]
            restore_optimizer(optimizer, resumed.tensors, resumed.optimizer)
            restore_randomness(resumed.tensors)
            trainer.should_stop = self._is_stuck(resumed.progress.step)

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Count the steps of the epoch anew."""
        if trainer.current_epoch:
            self._epoch_step = 0

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
        self._epoch_step += 1
        self._run.recorder.add(ended)
        if ended.step % config.logging_steps == 0:
            log(self._loggers, ended)
        if ended.step == self._run.plan.steps:
            return
        if ended.step % config.eval_steps == 0:
            self.validate(ended.step)
            trainer.should_stop = trainer.should_stop or self._is_stuck(ended.step)
        is_asked_to_stop = self._run.stop.signal is not None
        if ended.step % config.save_steps == 0 or is_asked_to_stop:
            self._save(trainer, pl_module)
        trainer.should_stop = trainer.should_stop or is_asked_to_stop

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Score the held-out rows once more, before the loggers are closed."""
        step = pl_module.steps_taken
        if self._run.stop.signal is None or step == self._run.plan.steps:
            self.validate(step)

    def validate(self, step: int) -> None:
        """Score the held-out rows, if there are any."""
        if self._run.held_out is None:
            return
        engine = self._run.model.engine
        found = held_out_score(
            engine.model,
            self._run.held_out.units,
            self._run.objective,
            batch_size=self._run.config.batch_size,
        )
        loss, tally = HeldOutLoss(found.nats, found.weight), found.tally
        validated = Validated(
            step=step,
            loss=loss.mean,
            perplexity=None if tally else loss.perplexity,
            comparison=tally.comparison() if tally else None,
        )
        self._run.observed.score(found.rows)
        self._run.recorder.add(validated)
        log(self._loggers, validated)

    def _is_stuck(self, step: int) -> bool:
        """Tell whether, seen after a step, the loss has not fallen for too long."""
        patience = self._run.config.early_stopping_patience
        validations = self._run.recorder.validations
        losses = [validated.loss for validated in validations]
        if patience is None or len(losses) <= patience or validations[-1].step != step:
            return False
        return min(losses[-patience:]) >= min(losses[:-patience])

    def _save(self, trainer: lightning.Trainer, module: Any) -> None:
        run = self._run
        tensors, others = optimizer_state(trainer.optimizers[0])
        progress = Progress(
            step=module.steps_taken,
            epoch=run.before.epoch + trainer.current_epoch,
            epoch_step=self._epoch_step,
            planned=module.planned,
            in_loss=module.in_loss,
            steps=tuple(run.recorder.steps),
            validations=tuple(run.recorder.validations),
        )
        snapshot = Snapshot(
            progress=progress,
            tensors=(
                model_tensors(run.model.engine.model)
                | tensors
                | randomness()
                | run.observed.tensors()
            ),
            optimizer=others,
            identity=run.identity,
            metrics=run.recorder.text,
            answers=run.observed.answers,
        )
        limit = run.config.save_total_limit
        path = save_checkpoint(run.model, run.folder, snapshot, limit)
        run.recorder.add(CheckpointSaved(step=progress.step, path=path))


def _take_up(run: Run, snapshot: Snapshot) -> None:
    progress = snapshot.progress
    restore_model(run.model.engine.model, snapshot.tensors)
    run.observed.restore(snapshot.tensors, snapshot.answers)
    path = run.folder / f"{PREFIX}{progress.step}"
    run.recorder.go_on(
        snapshot.metrics,
        progress.steps,
        progress.validations,
        CheckpointSaved(step=progress.step, path=path),
    )


def _end_early(run: Run, step: int) -> None:
    """Tell how to go on, and end as the signal asks."""
    path = run.folder / f"{PREFIX}{step}" if step else None
    tell(RunStopped(step=step, path=path, folder=run.folder))
    run.stop.obey(
        f"The run was stopped after step {step} of {run.plan.steps}. Go on with: "
        f"model.finetune(dataset, resume='{run.folder}')"
    )


_ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


def _precision(model: BaseModel) -> Any:
    half = model.engine.device.dtype is torch.bfloat16
    return "bf16-mixed" if half else "32-true"


def listed(logger: Loggers) -> list[Logger]:
    """Return the loggers that a user gave."""
    if logger is None or isinstance(logger, bool):
        return []
    return [logger] if isinstance(logger, Logger) else list(logger)


def _fit(
    trainer: lightning.Trainer, module: SupervisedModule, epochs: RemainingEpochs
) -> None:
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
def _no_dropout(model: Any) -> Iterator[None]:
    """Have dropout layers drop nothing, in whatever mode the model is."""
    layers = [each for each in model.modules() if isinstance(each, torch.nn.Dropout)]
    shares = [layer.p for layer in layers]
    try:
        for layer in layers:
            layer.p = 0.0
        yield
    finally:
        for layer, share in zip(layers, shares, strict=True):
            layer.p = share


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
