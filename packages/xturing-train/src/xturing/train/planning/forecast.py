"""From limits to a run: what is decided, what is predicted, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from xturing.core.errors import SettingsError
from xturing.core.quantities import shown_duration
from xturing.core.settings import DEFAULT
from xturing.data.batches import plan_epoch
from xturing.models.base import SAVED, BaseModel
from xturing.models.loss import trainable
from xturing.models.settings import FinetuningConfig
from xturing.train.objectives.base import Objective, Units
from xturing.train.planning.costs import Shape
from xturing.train.planning.deadline import SAVING, VALIDATION, Deadline
from xturing.train.planning.measuring import MicroSteps
from xturing.train.planning.pace import Pace, Position, Timetable, regular
from xturing.train.planning.planner import (
    Decisions,
    Prediction,
    Task,
    decide,
)
from xturing.train.planning.threads import fastest_threads
from xturing.train.reporting.additions import Choice
from xturing.train.schedule import MOST_WARMUP_STEPS, RunPlan
from xturing.train.throughput import micro_batch_tokens

WRITING = 100e6
"""Bytes of weights that are written, synced and moved in a second, at the least."""
ALWAYS_WRITTEN = 0.5
"""Seconds that the small files of a model take."""
FORWARD = 1 / 3
"""Share of a micro-step that is its forward pass."""


@dataclass(frozen=True)
class Forecast:
    """What is known of a run before its first step."""

    decisions: Decisions | None
    """None: nothing was measured, as no limit is set."""
    prediction: Prediction | None
    pace: Pace | None
    """None: the run has no deadline."""
    choices: tuple[Choice, ...]
    deadline: Deadline
    micro_batch_tokens: int | None
    """Most tokens of a micro-batch, padding counted; None: its rows are counted."""
    threads: int | None
    """None: they were not measured."""
    is_checkpointed: bool
    """Whether activations are computed anew, to save memory."""

    def state(self) -> dict[str, Any] | None:
        """Return what a checkpoint keeps of it, for a JSON file."""
        if self.decisions is None and self.threads is None:
            return None
        position = self.pace.position.as_dict() if self.pace else None
        return {
            "decisions": self.decisions.as_dict() if self.decisions else None,
            "threads": self.threads,
            "position": position,
            "spent": self.deadline.spent,
        }


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a forecast is made from."""

    model: BaseModel
    config: FinetuningConfig
    objective: Objective
    training: Units
    held_out: Units | None
    deadline: Deadline
    """Of infinite length, if only memory is limited."""
    plan: RunPlan
    """Of the run if it had no deadline."""
    kept: dict[str, Any] | None
    """`Forecast.state` of the checkpoint that the run goes on from."""
    is_grouped: bool
    """Whether other processes train the model, too."""


def forecast(given: Given) -> Forecast:
    """Return what a run will take, measured if it has limits.

    Raises:
        SettingsError: the limits are too tight for a single row or step, or the run is
            one of several processes.
    """
    config, kept = given.config, given.kept or {}
    _refuse_groups(given)
    machine = MicroSteps(given.model, given.objective, config, given.plan)
    threads = _threads_choice(given, machine)
    measured_threads = torch.get_num_threads() if config.threads == "auto" else None
    usual, choices = usual_tokens(given), (threads, _dtype_choice(given.model))
    if config.max_time is None and config.max_memory is None:
        return Forecast(
            None,
            None,
            None,
            (*choices, _division_choice(config, usual), _checkpointing_choice(config)),
            given.deadline,
            usual,
            measured_threads,
            config.gradient_checkpointing is True,
        )
    plan = Plan(given)
    if kept:
        given.deadline.resume(kept["spent"])
        decisions = Decisions.from_dict(kept["decisions"])
    else:
        decisions = decide(plan.task, machine)
    pace = plan.pace(decisions) if config.max_time is not None else None
    return Forecast(
        decisions,
        plan.prediction(decisions, pace),
        pace,
        (*choices, *decisions.choices),
        given.deadline,
        decisions.micro_batch_tokens or usual,
        measured_threads,
        decisions.gradient_checkpointing,
    )


def usual_tokens(given: Given) -> int | None:
    """Return the most tokens of a micro-batch, if nothing is measured."""
    return micro_batch_tokens(given.config, given.model.engine.device.name)


def _refuse_groups(given: Given) -> None:
    config = given.config
    measured = {
        "max_time": config.max_time is not None,
        "max_memory": config.max_memory is not None,
        "threads": config.threads == "auto",
    }
    if given.is_grouped and any(measured.values()):
        name = next(name for name, is_set in measured.items() if is_set)
        raise SettingsError(
            f"{name} is {getattr(config, name)}, but what a run takes is measured in "
            f"runs of one process only. Leave {name} out, or set devices and "
            "num_nodes to 1 and strategy to auto."
        )


def _threads_choice(given: Given, machine: MicroSteps) -> Choice:
    """Set the number of threads as the settings say, and return it with the reason."""
    threads, kept = given.config.threads, given.kept
    if threads == "auto" and kept is None:
        by_length = sorted(given.training.units, key=len)
        middle = len(by_length) // 2
        is_checkpointed = given.config.gradient_checkpointing is True
        with machine.training(is_checkpointed=is_checkpointed):
            units = by_length[middle : middle + 1]
            return fastest_threads(lambda: machine.measure(units).seconds)
    if threads == "auto" and kept is not None:
        torch.set_num_threads(kept["threads"])
        reason = "measured when the run began"
    elif isinstance(threads, int):
        torch.set_num_threads(threads)
        reason = f"set ({given.config.sources['threads']})"
    else:
        reason = "torch's own number: the cores, or what the environment says"
    return Choice(name="threads", value=str(torch.get_num_threads()), reason=reason)


def _dtype_choice(model: BaseModel) -> Choice:
    device = model.engine.device
    name = str(device.dtype).removeprefix("torch.")
    return Choice(name="dtype", value=name, reason=device.reason)


def _division_choice(config: FinetuningConfig, tokens: int | None) -> Choice:
    value = "as many as batch_size has rows" if tokens is None else f"{tokens:,}"
    is_own = config.micro_batch_tokens != "auto"
    reason = "as set" if is_own else "the same on every machine, so runs are repeatable"
    return Choice(name="micro_batch_tokens", value=value, reason=reason)


def _checkpointing_choice(config: FinetuningConfig) -> Choice:
    is_on = config.gradient_checkpointing is True
    reason = "as set" if is_on else "it costs time, and no limit of memory is set"
    return Choice(
        name="gradient_checkpointing", value="on" if is_on else "off", reason=reason
    )


class Plan:
    """The steps of a run in the shapes that they will have."""

    def __init__(self, given: Given) -> None:
        self._given = given
        sequences = given.objective.sequences_per_unit
        self._lengths = [sequences * len(unit) for unit in given.training.units]
        self._usual = usual_tokens(given)
        self.shapes = lru_cache(maxsize=8)(self._shapes)
        self.task = Task(
            units=given.training.units,
            steps=lambda budget: self.shapes(0, budget),
            max_memory=given.config.max_memory,
            max_time=given.deadline.limit,
            sequences_per_unit=sequences,
            gradient_checkpointing=given.config.gradient_checkpointing,
        )

    def pace(self, decisions: Decisions) -> Pace:
        """Return how the run comes to its deadline.

        Raises:
            SettingsError: there is no time for a single step, or for the warm-up.
        """
        given, config, costs = self._given, self._given.config, decisions.costs
        deadline = given.deadline

        def seconds(epoch: int) -> Sequence[float]:
            shapes = self.shapes(epoch, decisions.micro_batch_tokens)
            return [costs.step_seconds(step) for step in shapes]

        deadline.expect(SAVING, self._saving_seconds())
        deadline.expect(VALIDATION, self._validation_seconds(decisions))
        timetable = Timetable(seconds)
        kept = given.kept["position"] if given.kept else None
        position = Position(**kept) if kept else Position()

        def paced(position: Position) -> Pace:
            return Pace(
                deadline,
                timetable,
                scheduler=config.scheduler,
                position=position,
                every=regular(config.eval_steps, config.save_steps),
                most_steps=given.plan.steps if _is_bounded(config) else None,
            )

        if kept:
            return paced(position)
        # The first validation is still to come, as well as the last.
        pending = deadline.lasts(VALIDATION)
        steps = paced(position).steps_left(pending)
        if steps < 1:
            self._refuse(timetable[0] + pending)
        warmup = config.warmup_steps
        if warmup is None:
            warmup = min(MOST_WARMUP_STEPS, steps // 10)
        elif warmup >= steps > 1:
            raise SettingsError(
                f"warmup_steps is {warmup}, but only about {steps} steps fit into "
                f"max_time. Set warmup_steps below {steps}, or leave it out for a "
                "tenth of the run."
            )
        return paced(replace(position, warmup_steps=warmup))

    def prediction(self, decisions: Decisions, pace: Pace | None) -> Prediction:
        """Return what the whole run will take."""
        costs, budget = decisions.costs, decisions.micro_batch_tokens
        given = self._given
        peak = costs.peak_bytes(self.task.largest(budget))
        validation = self._validation_seconds(decisions)
        if pace is not None:
            pending = 0.0 if given.kept else validation
            left = pace.steps_left(pending)
            seconds = pace.deadline.spent + pending + pace.seconds_for(left)
            return Prediction(
                steps=pace.position.step + left, seconds=seconds, peak_bytes=peak
            )
        epoch = [costs.step_seconds(step) for step in self.shapes(0, budget)]
        training = given.plan.steps * sum(epoch) / len(epoch)
        config = given.config
        seconds = (
            given.deadline.spent
            + training
            + (2 + (given.plan.steps - 1) // config.eval_steps) * validation
            + (1 + (given.plan.steps - 1) // config.save_steps) * self._saving_seconds()
        )
        return Prediction(steps=given.plan.steps, seconds=seconds, peak_bytes=peak)

    def _shapes(self, epoch: int, budget: int | None) -> list[list[Shape]]:
        config, lengths = self._given.config, self._lengths
        steps = plan_epoch(
            lengths,
            batch_size=config.batch_size,
            accumulation=config.gradient_accumulation_steps,
            seed=config.seed,
            epoch=epoch,
            micro_batch_tokens=budget or self._usual,
        )
        return [
            [
                Shape(len(rows), max(lengths[row] for row in rows))
                for rows in step.micro_batches
            ]
            for step in steps
        ]

    def _validation_seconds(self, decisions: Decisions) -> float:
        held_out = self._given.held_out
        if held_out is None:
            return 0.0
        sequences = self._given.objective.sequences_per_unit
        lengths = sorted(sequences * len(unit) for unit in held_out.units)
        size = self._given.config.batch_size
        batches = [lengths[i : i + size] for i in range(0, len(lengths), size)]
        shapes = [Shape(len(batch), batch[-1]) for batch in batches]
        return FORWARD * sum(map(decisions.costs.seconds, shapes))

    def _saving_seconds(self) -> float:
        network = self._given.model.engine.model
        size = sum(parameter.nbytes for _, parameter in trainable(network))
        return ALWAYS_WRITTEN + size / WRITING

    def _refuse(self, step_seconds: float) -> None:
        deadline = self._given.deadline
        needed = deadline.spent + deadline.ending + step_seconds
        raise SettingsError(
            f"max_time is {shown_duration(deadline.limit)}, but a run of a single step "
            f"takes about {shown_duration(needed)}, validation and saving included. "
            f"Set max_time to {shown_duration(2 * needed)} or more."
        )


def _is_bounded(config: FinetuningConfig) -> bool:
    """Tell whether the user said how many steps or epochs there may be."""
    source = config.sources["num_train_epochs"]
    is_own = source not in (DEFAULT, SAVED) and not source.startswith("family ")
    return config.max_steps is not None or is_own
