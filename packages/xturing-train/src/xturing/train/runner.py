"""A planned run under Lightning's Trainer, with its validations and checkpoints."""

import logging
import random
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
from xturing.models.checkpointing import checkpointed
from xturing.models.settings import FinetuningConfig
from xturing.train.checkpoints import PREFIX, Snapshot, save_checkpoint
from xturing.train.dropout import without_dropout
from xturing.train.evaluation import HeldOutLoss, held_out_score
from xturing.train.events import CheckpointSaved, RunStopped, Validated
from xturing.train.module import SupervisedModule
from xturing.train.objectives.base import Objective, Units
from xturing.train.observed import Observed
from xturing.train.planning.deadline import SAVING, VALIDATION
from xturing.train.planning.forecast import Forecast
from xturing.train.planning.pace import Pace
from xturing.train.planning.pacing import NO_END, Pacing
from xturing.train.recorder import Recorder
from xturing.train.reporting.additions import Additions
from xturing.train.row_losses import RowHistory
from xturing.train.schedule import Epochs, MicroBatch, RunPlan
from xturing.train.state import (
    Progress,
    Tensors,
    model_tensors,
    randomness,
    restore_model,
    restore_randomness,
)
from xturing.train.stopping import StopRequest
from xturing.train.strategies.place import ALONE, Place, environment
from xturing.train.strategies.processes import Processes
from xturing.train.strategies.whole import Whole
from xturing.train.throughput import fast_passes
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
    processes: Processes
    layout: Whole
    """Where weights, gradients and the optimizer are."""
    forecast: Forecast
    observed: Observed
    additions: Additions
    """What is said in the report beside what the run itself does."""

    @property
    def pace(self) -> Pace | None:
        """What decides when the run is over; None: the plan does."""
        return self.forecast.pace

    @property
    def steps(self) -> int:
        """Steps of the whole run, as planned now."""
        return self.pace.total if self.pace else self.plan.steps

    @property
    def before(self) -> Progress:
        """How far the run had come when it was resumed."""
        return self.resumed.progress if self.resumed else Progress()

    def is_asked_to_stop(self) -> bool:
        """Tell whether a signal came to a process; all of them know of it then."""
        heard = self.processes.largest(self.stop.signal or 0)
        if heard:
            self.stop.signal = signal.Signals(heard)
        return heard > 0


@dataclass(frozen=True)
class Fact:
    """What really happened."""

    steps: int
    planned: int
    """Learnt tokens that were handed to the model."""
    in_loss: int
    """Losses that were summed up."""
    steps_planned: int
    """Steps that were to be taken, as planned at the end."""


def carry_out(run: Run, loggers: Sequence[Logger]) -> Fact:
    """Take the run's steps, between a first and a last validation.

    The loggers stay open, so that the last validation can be told to them as well.

    Raises:
        TrainingError: the loss is no number any more.
        KeyboardInterrupt: the user stopped it; a checkpoint was written.
        SystemExit: the system did so, by SIGTERM.
    """
    before = run.before
    torch_model, network = run.model.engine.model, run.layout.network
    with own_randomness(run.config.seed, run.processes.place), _quiet_lightning():
        module = SupervisedModule(
            network,
            run.config,
            run.plan,
            run.objective,
            before=before,
            processes=run.processes,
            layout=run.layout,
        )
        module.pace, module.history = run.pace, run.observed.history
        watcher = Watcher(run, loggers)
        trainer = _trainer(run, watcher)
        try:
            if run.resumed is None:
                watcher.validate(0)
            else:
                _take_up(run, run.resumed)
            if not run.is_asked_to_stop():
                network.train()
                with _as_set(run, network):
                    _fit(trainer, module, RemainingEpochs(run.epochs, before))
            if run.is_asked_to_stop() and module.steps_taken < run.steps:
                _end_early(run, module.steps_taken)
            watcher.validate(module.steps_taken)
        finally:
            torch_model.eval()
    return Fact(module.steps_taken, module.planned, module.in_loss, run.steps)


def _trainer(run: Run, watcher: "Watcher") -> lightning.Trainer:
    """Return what takes the run's steps, on its processes."""
    config, place = run.config, run.processes.place
    device = run.model.engine.device.name
    started_by = environment()
    precision = _precision(run.model)
    engine: dict[str, Any] = {"devices": 1, "precision": precision}
    if run.processes.is_grouped:
        limit = config.max_grad_norm
        engine = run.layout.options(place, device, precision, limit)
        engine |= {"devices": place.per_node, "num_nodes": place.nodes}
    return lightning.Trainer(
        accelerator=_ACCELERATORS[device],
        plugins=[started_by] if started_by and run.processes.is_grouped else None,
        # A pace ends the run itself.
        max_steps=NO_END if run.pace else run.plan.steps - run.before.step,
        max_epochs=NO_END if run.pace else run.plan.epochs - run.before.epoch,
        logger=False,
        callbacks=[watcher],
        default_root_dir=run.folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **engine,
    )


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
        steps_to_skip = self._skipped_steps
        for micro in self._epochs:
            if not steps_to_skip:
                yield micro
            elif micro.ends_step:
                steps_to_skip -= 1


class Watcher(lightning.Callback):
    """Validates, saves and stops at the steps that the settings name."""

    def __init__(self, run: Run, loggers: Sequence[Logger]) -> None:
        self._run = run
        self._loggers = loggers
        self._epoch_step = run.before.epoch_step
        self._pacing = Pacing(run.pace, run.plan.steps, run.recorder)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Go on from a checkpoint, now that there is an optimizer."""
        # Lightning has handlers of its own, which end the run in the middle of a step.
        self._run.stop.listen()
        self._run.layout.release()
        resumed = self._run.resumed
        if resumed is not None:
            optimizer = trainer.optimizers[0]
            tensors, others = resumed.tensors, resumed.optimizer
            self._run.layout.restore_optimizer(optimizer, tensors, others)
            restore_randomness(tensors, self._run.processes.place.rank)
            trainer.should_stop = self._is_stuck(resumed.progress.step)
        self._pacing.plan(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Put the model together again."""
        self._run.layout.close()

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
        if self._pacing.is_over(trainer, ended.step):
            return
        if ended.step % config.eval_steps == 0:
            self.validate(ended.step)
            trainer.should_stop = trainer.should_stop or self._is_stuck(ended.step)
        is_asked_to_stop = self._run.is_asked_to_stop()
        if ended.step % config.save_steps == 0 or is_asked_to_stop:
            with self._pacing.beside(SAVING):
                self._save(trainer, pl_module)
        trainer.should_stop = trainer.should_stop or is_asked_to_stop
        self._pacing.plan(trainer)

    def validate(self, step: int) -> None:
        """Score the held-out rows, if there are any."""
        if self._run.held_out is None:
            return
        with self._pacing.beside(VALIDATION):
            own = held_out_score(
                self._run.layout.network,
                self._run.held_out.units,
                self._run.objective,
                batch_size=self._run.config.batch_size,
            )
        # Other machines may round in other ways, but all have to decide the same.
        found = self._run.processes.from_first(lambda: own)
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
        tensors, others = run.layout.optimizer_state(trainer.optimizers[0])
        tensors |= _all_randomness(run.processes)
        tensors |= run.observed.tensors(whole_history(run))
        with run.layout.gathered():
            if run.processes.is_first:
                self._write(trainer, module, tensors, others)
            run.processes.wait()

    def _write(
        self,
        trainer: lightning.Trainer,
        module: Any,
        tensors: Tensors,
        others: dict[str, Any],
    ) -> None:
        run = self._run
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
            tensors=model_tensors(run.model.engine.model) | tensors,
            optimizer=others,
            identity=run.identity,
            metrics=run.recorder.text,
            forecast=run.forecast.state(),
            answers=run.observed.answers,
        )
        limit = run.config.save_total_limit
        path = save_checkpoint(run.model, run.folder, snapshot, limit)
        run.recorder.add(CheckpointSaved(step=progress.step, path=path))


def _all_randomness(processes: Processes) -> Tensors:
    """Return the states of every process's generators."""
    states = processes.from_all(randomness(processes.place.rank))
    return {name: state for each in states for name, state in each.items()}


def whole_history(run: Run) -> RowHistory:
    """Return the losses of the rows that all processes learnt from."""
    first, *others = run.processes.from_all(run.observed.history)
    return sum(others, start=first)


def _take_up(run: Run, snapshot: Snapshot) -> None:
    progress = snapshot.progress
    restore_model(run.model.engine.model, snapshot.tensors)
    if run.processes.is_first:
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
        f"The run was stopped after step {step} of {run.steps}. Go on with: "
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
def own_randomness(seed: int, place: Place = ALONE) -> Iterator[None]:
    """Seed dropout and first weights, and leave the caller's random state as it was.

    Each process drops other things.
    """
    if place.rank:
        seed = random.Random(f"{seed}/{place.rank}").getrandbits(63)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def _as_set(run: Run, model: Any) -> Iterator[None]:
    """Have the model drop, keep and compile what objective and settings say."""
    is_checkpointed = run.forecast.is_checkpointed
    with (
        nullcontext() if run.objective.has_dropout else without_dropout(model),
        # Blocks are compiled as they will run.
        checkpointed(model) if is_checkpointed else nullcontext(),
        fast_passes(
            run.model, run.config, run.plan, is_grouped=run.processes.is_grouped
        ),
    ):
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
