"""Which rows go into which step: the whole run, planned before it starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xturing.core.errors import SettingsError
from xturing.data.batches import Batch, plan_epoch
from xturing.models.settings import FinetuningConfig
from xturing.train.objectives.base import Objective
from xturing.train.strategies.place import ALONE, Place
from xturing.train.strategies.shares import shares

MOST_WARMUP_STEPS = 50


@dataclass(frozen=True)
class MicroBatch:
    """A part of an optimizer step."""

    batch: Batch
    planned: int
    """Tokens that its examples are to teach."""
    step_planned: int
    """The same for the whole step."""
    step_weight: int
    """What every part of the step is weighted by: learnt tokens, pairs, judgements."""
    step_scale: float
    """The step's weight over that of the epoch's steps on average.

    Steps hold rows of like length, so some have many times the tokens of others. Adam
    would have each of them move the weights as far; scaled, each token has its say.
    """
    step_units: tuple[Any, ...]
    """All that is learnt from in the step."""
    units: tuple[Any, ...]
    """Those of them in this part, in the order of the batch."""
    ends_step: bool
    """Whether it is the last that this process takes of the step."""
    counts: bool = True
    """Whether it is learnt from, see `strategies.shares`."""


@dataclass(frozen=True)
class RunPlan:
    """How long a run is."""

    steps: int
    epochs: int
    warmup_steps: int
    tokens: int
    """That the model reads while it learns, padding left out; about, if the run ends
    within an epoch."""


def plan_run(
    units: Sequence[Any], config: FinetuningConfig, objective: Objective
) -> RunPlan:
    """Return the length of a run over so many units.

    Raises:
        SettingsError: the warm-up is longer than the run.
    """
    per_step = config.batch_size * config.gradient_accumulation_steps
    per_epoch = -(-len(units) // per_step)
    steps = config.max_steps or per_epoch * config.num_train_epochs
    warmup = config.warmup_steps
    if warmup is None:
        warmup = min(MOST_WARMUP_STEPS, steps // 10)
    elif warmup >= steps > 1 and config.max_time is None:
        raise SettingsError(
            f"warmup_steps is {warmup}, but the run has only {steps} steps, so the "
            f"learning rate would never be reached. Set warmup_steps below {steps}, or "
            "leave it out for a tenth of the run."
        )
    tokens = objective.sequences_per_unit * sum(map(len, units)) * steps // per_epoch
    return RunPlan(steps, -(-steps // per_epoch), warmup, tokens)


class Epochs:
    """The micro-batches that a process takes of each epoch in turn.

    Lightning sets the epoch, as it would a sampler's. With `micro_batch_tokens`, no
    micro-batch has more of them, unless one row does.
    """

    def __init__(
        self,
        units: Sequence[Any],
        config: FinetuningConfig,
        objective: Objective,
        micro_batch_tokens: int | None = None,
        place: Place = ALONE,
    ) -> None:
        self._units = units
        self._config = config
        self._objective = objective
        self._most_tokens = micro_batch_tokens
        self._place = place
        self._epoch = 0

    @property
    def sampler(self) -> "Epochs":
        """What Lightning tells the epoch to."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that is iterated over next."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[MicroBatch]:
        config = self._config
        sequences = self._objective.sequences_per_unit
        steps = plan_epoch(
            [sequences * len(unit) for unit in self._units],
            batch_size=config.batch_size,
            accumulation=config.gradient_accumulation_steps,
            seed=config.seed,
            epoch=self._epoch,
            micro_batch_tokens=self._most_tokens,
        )
        average = self._objective.weight(self._units) / len(steps)
        for step in steps:
            units = tuple(
                self._units[index] for rows in step.micro_batches for index in rows
            )
            planned = sum(unit.supervised for unit in units)
            weight = self._objective.weight(units)
            own = shares(step.micro_batches, self._place.world_size)[self._place.rank]
            for number, share in enumerate(own, start=1):
                part = [self._units[index] for index in share.rows]
                yield MicroBatch(
                    batch=self._objective.collate(part),
                    planned=sum(unit.supervised for unit in part),
                    step_planned=planned,
                    step_weight=weight,
                    step_scale=weight / average,
                    step_units=units,
                    units=tuple(part),
                    ends_step=number == len(own),
                    counts=share.counts,
                )
