"""Which rows go into which step: the whole run, planned before it starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xturing.core.errors import SettingsError
from xturing.data.batches import Batch, plan_epoch
from xturing.models.settings import FinetuningConfig
from xturing.train.objectives.base import Objective

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
    step_units: tuple[Any, ...]
    """All that is learnt from in the step."""
    units: tuple[Any, ...]
    """Those of them in this part, in the order of the batch."""


@dataclass(frozen=True)
class RunPlan:
    """How long a run is."""

    steps: int
    epochs: int
    warmup_steps: int


def plan_run(rows: int, config: FinetuningConfig) -> RunPlan:
    """Return the length of a run over so many rows.

    Raises:
        SettingsError: the warm-up is longer than the run.
    """
    per_step = config.batch_size * config.gradient_accumulation_steps
    per_epoch = -(-rows // per_step)
    steps = config.max_steps or per_epoch * config.num_train_epochs
    warmup = config.warmup_steps
    if warmup is None:
        warmup = min(MOST_WARMUP_STEPS, steps // 10)
    elif warmup >= steps > 1:
        raise SettingsError(
            f"warmup_steps is {warmup}, but the run has only {steps} steps, so the "
            f"learning rate would never be reached. Set warmup_steps below {steps}, or "
            "leave it out for a tenth of the run."
        )
    return RunPlan(steps, -(-steps // per_epoch), warmup)


class Epochs:
    """The micro-batches of each epoch in turn.

    Lightning sets the epoch, as it would a sampler's.
    """

    def __init__(
        self, units: Sequence[Any], config: FinetuningConfig, objective: Objective
    ) -> None:
        self._units = units
        self._config = config
        self._objective = objective
        self._epoch = 0

    @property
    def sampler(self) -> "Epochs":
        """What Lightning tells the epoch to."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that is iterated over next."""
        self._epoch = epoch

    def __len__(self) -> int:
        # The short step at the end may have fewer micro-batches than the others.
        per_step = self._config.batch_size * self._config.gradient_accumulation_steps
        whole, rest = divmod(len(self._units), per_step)
        return whole * self._config.gradient_accumulation_steps + (
            -(-rest // self._config.batch_size)
        )

    def __iter__(self) -> Iterator[MicroBatch]:
        config = self._config
        steps = plan_epoch(
            [len(unit) for unit in self._units],
            batch_size=config.batch_size,
            accumulation=config.gradient_accumulation_steps,
            seed=config.seed,
            epoch=self._epoch,
        )
        for step in steps:
            parts = [
                [self._units[index] for index in rows] for rows in step.micro_batches
            ]
            units = tuple(unit for part in parts for unit in part)
            planned = [sum(unit.supervised for unit in part) for part in parts]
            for part, tokens in zip(parts, planned, strict=True):
                yield MicroBatch(
                    batch=self._objective.collate(part),
                    planned=tokens,
                    step_planned=sum(planned),
                    step_weight=self._objective.weight(units),
                    step_units=units,
                    units=tuple(part),
                )
