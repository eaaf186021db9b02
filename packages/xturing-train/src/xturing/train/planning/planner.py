"""What a run will take, and how its steps are divided so that it fits its limits."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal, Protocol

from xturing.core.errors import SettingsError
from xturing.core.quantities import shown_duration
from xturing.train.planning.costs import CostModel, Measured, Shape, StepCosts, fit
from xturing.train.reporting.additions import Choice, Topic

MEASURING_SHARE = 0.1
"""Most of a run's time that is spent on measuring."""
MEASURING_SECONDS = 60.0
"""The same in seconds, however long the run is."""
SMALLEST = 2
"""Rows of the smallest micro-batch that is measured."""
MEMORY_USED = 0.95
"""Share of the memory given that a plan may use by its own prediction."""
WORTH_A_CHANGE = 0.05
"""Share of the time that another division must save to be chosen."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a run will take, told before its first step."""

    steps: int
    seconds: float
    """Of the whole run, from the loaded model to the saved one."""
    peak_bytes: int
    """Most memory of the process, or of the GPU."""


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What was decided from measurements, for the checkpoints of the run."""

    costs: CostModel
    micro_batch_tokens: int | None
    """None: as without measurements."""
    gradient_checkpointing: bool
    choices: tuple[Choice, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the decisions for a JSON file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Decisions":
        """Return what `as_dict` described."""
        choices = tuple(Choice(**each) for each in values["choices"])
        costs = CostModel(**values["costs"])
        return cls(**values | {"choices": choices, "costs": costs})


CHECKPOINTING: dict[bool | str, tuple[bool, ...]] = {
    "auto": (False, True),
    False: (False,),
    True: (True,),
}
"""What is tried, one after the other."""


class Machine(Protocol):
    """What micro-batches can be tried on."""

    def training(self, *, is_checkpointed: bool) -> AbstractContextManager[None]:
        """Have the model train inside the block; nothing of it stays afterwards.

        If it is checkpointed, activations are computed anew, to save memory.
        """
        ...

    def measure(self, units: Sequence[Any]) -> Measured:
        """Return what a micro-batch of these units takes."""
        ...

    def measure_step(self) -> StepCosts:
        """Return what a step takes beside its micro-batches."""
        ...


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be divided."""

    units: Sequence[Any]
    steps: Callable[[int | None], Sequence[Sequence[Shape]]]
    """Takes the tokens of a micro-batch (None: as without measurements), and returns
    the micro-batches of each step of the first epoch."""
    max_memory: int | None
    max_time: float
    """Seconds; infinite: only memory is limited."""

    sequences_per_unit: int = 1
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """Whether activations are to be computed anew; auto: only where memory asks it."""

    @property
    def longest(self) -> int:
        """Tokens of the longest unit, all of its sequences counted."""
        return self.sequences_per_unit * max(map(len, self.units))

    def largest(self, budget: int | None) -> int:
        """Return the computed tokens of the largest micro-batch."""
        return max(shape.tokens for step in self.steps(budget) for shape in step)


def decide(task: Task, machine: Machine) -> Decisions:
    """Return how the steps are best divided within the limits, by what was measured.

    Raises:
        SettingsError: not even single rows fit into the memory given.
    """
    tried: list[CostModel] = []
    for is_checkpointed in CHECKPOINTING[task.gradient_checkpointing]:
        with machine.training(is_checkpointed=is_checkpointed):
            costs = _measured(task, machine)
        if _fitting(task, costs) >= task.longest:
            return _chosen(task, costs, is_checkpointed=is_checkpointed)
        tried.append(costs)
    raise _too_little(task, tried[-1])


def _fitting(task: Task, costs: CostModel) -> int:
    """Return the computed tokens that fit into the memory given."""
    if task.max_memory is None:
        return 2**62
    return costs.tokens_within(MEMORY_USED * task.max_memory)


def _too_little(task: Task, costs: CostModel) -> SettingsError:
    needed = costs.peak_bytes(task.longest) / MEMORY_USED
    is_used = task.gradient_checkpointing is not False
    hint = "included" if is_used else "is off; true or auto needs less"
    return SettingsError(
        f"max_memory is {_gigabytes(task.max_memory or 0)}, but a single row of "
        f"{task.longest} tokens needs about {_gigabytes(needed)} (gradient "
        f"checkpointing {hint}). Set max_memory to {_gigabytes(needed + 5e7)} or "
        "more, set max_length lower, or take a smaller or a quantized model."
    )


def _measured(task: Task, machine: Machine) -> CostModel:
    """Return the costs, from micro-batches that grow as far as the limits let them."""
    step = machine.measure_step()
    allowed = min(MEASURING_SECONDS, MEASURING_SHARE * task.max_time)
    smallest, *larger = _to_measure(task)
    # The first pass of a model also pays for what is made once.
    machine.measure(smallest)
    found = [machine.measure(smallest)]
    costs = fit(found, step)
    for units in larger:
        longest = max(map(len, units))
        shape = Shape(len(units), task.sequences_per_unit * longest)
        allowed -= found[-1].seconds
        fits = shape.tokens <= _fitting(task, costs)
        if fits and costs.seconds(shape) <= allowed:
            found.append(machine.measure(units))
            costs = fit(found, step)
    return costs


def _to_measure(task: Task) -> Iterator[Sequence[Any]]:
    """Yield units for micro-batches, roughly from small to the run's largest.

    They are never single rows if there are others, which runs avoid, too: compiled
    blocks do not take them.
    """
    by_length = sorted(task.units, key=len)
    typical = task.sequences_per_unit * len(_middle(by_length, SMALLEST)[-1])
    most = min(max(task.largest(None) // typical, SMALLEST), len(by_length))
    count = SMALLEST
    yield _middle(by_length, count)
    while count < most:
        count = min(2 * count, most)
        yield _middle(by_length, count)
        if count <= 2 * SMALLEST:
            yield by_length[-SMALLEST:]


def _middle(by_length: Sequence[Any], count: int) -> Sequence[Any]:
    """Return so many units of typical lengths."""
    start = max((len(by_length) - count) // 2, 0)
    return by_length[start : start + count]


def _chosen(task: Task, costs: CostModel, *, is_checkpointed: bool) -> Decisions:
    fitting = _fitting(task, costs)
    default = task.largest(None)
    times: dict[int | None, float] = {}
    if default <= fitting:
        times[None] = _typical_seconds(task, costs, None)
    budget = task.longest
    while budget < 2 * default:
        if budget <= fitting:
            times[budget] = _typical_seconds(task, costs, budget)
        budget *= 2
    best = min(times, key=times.__getitem__)
    if None in times and (
        math.isinf(task.max_time) or times[best] > (1 - WORTH_A_CHANGE) * times[None]
    ):
        best = None
    return Decisions(
        costs=costs,
        micro_batch_tokens=best,
        gradient_checkpointing=is_checkpointed,
        choices=(
            _micro_batch_choice(task, costs, best, times),
            _checkpointing_choice(task, costs, is_checkpointed=is_checkpointed),
        ),
    )


def _typical_seconds(task: Task, costs: CostModel, budget: int | None) -> float:
    return median(costs.step_seconds(step) for step in task.steps(budget))


def _micro_batch_choice(
    task: Task, costs: CostModel, best: int | None, times: dict[int | None, float]
) -> Choice:
    largest = task.largest(best)
    needed = costs.peak_bytes(largest)
    reason = f"up to {largest:,} tokens at once need {_gigabytes(needed)}"
    if task.max_memory is not None:
        reason += f" of {_gigabytes(task.max_memory)}"
    reason += f", a step takes {times[best]:.2f} s"
    default = task.largest(None)
    if best is not None and None not in times:
        more = _gigabytes(costs.peak_bytes(default))
        reason += f"; as set, {default:,} tokens would need {more}"
    elif best is not None:
        reason += f"; as set, it would take {times[None]:.2f} s"
    return Choice(
        name="micro_batch_tokens",
        value="as set" if best is None else f"{best:,}",
        reason=reason,
    )


def _checkpointing_choice(
    task: Task, costs: CostModel, *, is_checkpointed: bool
) -> Choice:
    if is_checkpointed:
        reason = "without it, a single row would not fit into the memory given"
    elif task.max_memory is not None:
        needed = _gigabytes(costs.peak_bytes(task.longest))
        reason = f"the longest row needs {needed} of {_gigabytes(task.max_memory)}"
    else:
        reason = "it costs time, and no limit of memory is set"
    return Choice(
        name="gradient_checkpointing",
        value="on" if is_checkpointed else "off",
        reason=reason,
    )


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB"


def plan_topic(predicted: Prediction, real: Prediction) -> Topic:
    """Return what was predicted of a run beside what came of it, for its report."""
    return Topic(
        title="Prediction and fact",
        columns=("", "predicted", "fact"),
        rows=(
            ("steps", f"{predicted.steps:,}", f"{real.steps:,}"),
            ("time", shown_duration(predicted.seconds), shown_duration(real.seconds)),
            ("memory", _gigabytes(predicted.peak_bytes), _gigabytes(real.peak_bytes)),
        ),
    )
