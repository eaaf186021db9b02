"""Plans of runs with a deadline or a limit of memory, on machines that are made up."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import SettingsError
from xturing.data.batches import divided
from xturing.train.planning.costs import CostModel, Measured, Shape, StepCosts, fit
from xturing.train.planning.deadline import SAVING, VALIDATION, Deadline
from xturing.train.planning.pace import Pace, Position, Timetable
from xturing.train.planning.planner import Task, decide

COSTS = CostModel(
    fixed=0.02,
    per_token=4e-3,
    per_pair=1e-7,
    per_step=0.05,
    base_bytes=1.2e9,
    bytes_per_token=1.4e6,
)
SHAPES = [Shape(1, 60), Shape(1, 500), Shape(4, 90), Shape(8, 120)]


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeRun:
    """A run on a machine whose slowness is a function of the share of time that passed.

    Steps, validations and checkpoints take what they take on an even machine, times
    that slowness.
    """

    def __init__(
        self,
        limit: float,
        slowness: Callable[[float], float],
        *,
        most_steps: int | None = None,
        warmup_steps: int = 5,
        scheduler: str = "linear",
    ) -> None:
        generator = random.Random(0)
        self.steps = [generator.uniform(0.5, 2.0) for _ in range(37)]
        self.clock = Clock()
        self.deadline = Deadline(limit, clock=self.clock)
        self.slowness = slowness
        self.deadline.expect(SAVING, 1.0)
        self.deadline.expect(VALIDATION, 2.0)
        self.pace = Pace(
            self.deadline,
            Timetable(lambda _: self.steps),
            scheduler=scheduler,
            position=Position(warmup_steps=warmup_steps),
            every={VALIDATION: 40, SAVING: 25},
            most_steps=most_steps,
        )
        self.factors: list[float] = []

    def spend(self, seconds: float) -> None:
        self.clock.now += seconds * self.slowness(
            self.deadline.spent / self.deadline.limit
        )

    def aside(self, name: str, seconds: float) -> None:
        with self.deadline.beside(name):
            self.spend(seconds)

    def go(self, most: int = 10**6) -> None:
        """Take the run's steps as the trainer does, and end it."""
        pace = self.pace
        self.aside(VALIDATION, 2.0)
        pace.begin(pace.steps_left())
        while pace.total > pace.position.step and len(self.factors) < most:
            step = pace.position.step
            self.factors.append(pace.factor(step))
            self.spend(self.steps[step % len(self.steps)])
            # Schedulers of torch ask for the next step before the last one is ended.
            pace.factor(step + 1)
            pace.end()
            if not pace.steps_left(pace.pauses_now()):
                pace.begin(0)
                break
            if (step + 1) % 40 == 0:
                self.aside(VALIDATION, 2.0)
            if (step + 1) % 25 == 0:
                self.aside(SAVING, 1.0)
            pace.begin(pace.steps_left())
        self.spend(3.0)


DRIFTS: dict[str, Callable[[float], float]] = {
    "as predicted": lambda _: 1.0,
    "half as fast from the start": lambda _: 2.0,
    "twice as fast from the start": lambda _: 0.5,
    "slower and slower": lambda share: 1 + share,
    "faster and faster": lambda share: 1 - share / 2,
    "half as fast from the middle": lambda share: 1.0 if share < 0.5 else 2.0,
    "twice as fast at the end": lambda share: 1.0 if share < 0.8 else 0.5,
    "half as fast at the end": lambda share: 1.0 if share < 0.8 else 2.0,
    "up and down": lambda share: 2.0 if int(share * 10) % 2 else 0.7,
}


@pytest.mark.parametrize("limit", [60.0, 300.0, 1800.0])
@pytest.mark.parametrize("drift", DRIFTS)
def test_a_run_ends_within_a_tenth_of_its_deadline_however_the_machine_drifts(
    limit, drift
):
    run = FakeRun(limit, DRIFTS[drift])
    run.go()
    assert run.deadline.spent == pytest.approx(limit, rel=0.1)


@pytest.mark.parametrize("limit", [300.0, 1800.0])
@pytest.mark.parametrize("drift", DRIFTS)
def test_the_schedule_comes_to_its_end_with_the_run(limit, drift):
    run = FakeRun(limit, DRIFTS[drift])
    run.go()
    assert run.factors[-1] <= 0.03
    assert run.pace.position.done == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("scheduler", ["linear", "cosine"])
@pytest.mark.parametrize("drift", DRIFTS)
def test_the_learning_rate_rises_once_and_then_falls_without_a_jump(scheduler, drift):
    run = FakeRun(600.0, DRIFTS[drift], scheduler=scheduler)
    run.go()
    rises, falls = run.factors[:5], run.factors[4:]
    assert rises == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert all(a >= b for a, b in pairwise(falls))
    # Twice as fast a machine takes steps half as long.
    largest = 4 * 1.6 / len(falls)
    assert all(a - b <= largest for a, b in pairwise(falls[:-2]))


def test_a_run_whose_speed_is_as_predicted_has_the_schedule_of_a_run_of_its_steps():
    run = FakeRun(400.0, DRIFTS["as predicted"])
    run.go()
    after = len(run.factors) - 5
    even = [1 - step / after for step in range(after)]
    assert run.factors[5:] == pytest.approx(even, abs=0.03)


def test_a_run_takes_no_more_steps_than_its_user_allows():
    run = FakeRun(600.0, DRIFTS["as predicted"], most_steps=20)
    run.go()
    assert len(run.factors) == 20
    assert run.pace.position.done == pytest.approx(1.0)
    assert run.deadline.spent < 60


def test_a_resumed_run_goes_on_where_it_was_and_ends_at_its_deadline():
    first = FakeRun(300.0, DRIFTS["half as fast from the start"])
    first.go(most=40)
    second = FakeRun(300.0, DRIFTS["half as fast from the start"])
    second.deadline.resume(first.deadline.spent)
    second.pace = Pace(
        second.deadline,
        Timetable(lambda _: second.steps),
        scheduler="linear",
        position=first.pace.position,
    )
    second.go()
    assert second.factors[0] == first.pace.factor(40)
    assert second.pace.position.done == pytest.approx(1.0, abs=0.02)
    assert second.deadline.spent == pytest.approx(300.0, rel=0.1)


@given(
    weights=st.tuples(st.floats(0.001, 1), st.floats(1e-5, 1e-2), st.floats(0, 1e-6)),
    step_bytes=st.integers(0, 10**9),
)
def test_costs_that_follow_the_model_are_found_again(weights, step_bytes):
    fixed, per_token, per_pair = weights
    truth = replace(COSTS, fixed=fixed, per_token=per_token, per_pair=per_pair)
    found = [measured(truth, shape) for shape in SHAPES]
    step = StepCosts(seconds=0.05, bytes=step_bytes, idle_bytes=round(1.2e9))
    costs = fit(found, step)
    for shape in (Shape(16, 40), Shape(2, 900)):
        assert costs.seconds(shape) == pytest.approx(truth.seconds(shape), rel=1e-3)
        peak = truth.peak_bytes(shape.tokens) + step_bytes
        assert costs.peak_bytes(shape.tokens) == pytest.approx(peak, rel=1e-6)


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=4))
def test_no_cost_is_below_zero_whatever_was_measured(seconds):
    found = [
        Measured(shape=shape, seconds=each, peak_bytes=10**9)
        for shape, each in zip(SHAPES, seconds, strict=False)
    ]
    costs = fit(found, StepCosts(seconds=0.0, bytes=0, idle_bytes=10**9))
    assert min(costs.fixed, costs.per_token, costs.per_pair) >= 0


def measured(costs: CostModel, shape: Shape) -> Measured:
    return Measured(
        shape=shape,
        seconds=costs.seconds(shape),
        peak_bytes=costs.peak_bytes(shape.tokens),
    )


class FakeMachine:
    """Costs what a model of costs says, and a quarter per token if checkpointed."""

    def __init__(self, costs: CostModel) -> None:
        self.costs = costs
        self.largest = 0

    @contextmanager
    def training(self, *, is_checkpointed: bool) -> Iterator[None]:
        before = self.costs
        if is_checkpointed:
            self.costs = replace(before, bytes_per_token=before.bytes_per_token / 4)
            self.largest = 0
        yield
        self.costs = before

    def measure(self, units: Sequence[str]) -> Measured:
        shape = Shape(len(units), max(map(len, units)))
        self.largest = max(self.largest, self.costs.peak_bytes(shape.tokens))
        return measured(self.costs, shape)

    def measure_step(self) -> StepCosts:
        idle = round(self.costs.base_bytes)
        return StepCosts(seconds=0.05, bytes=0, idle_bytes=idle)


def task(max_memory: int | None = None, max_time: float = float("inf")) -> Task:
    """Return a task of steps of 8 rows, of up to 500 tokens."""
    lengths = [20 + 30 * (n % 17) for n in range(160)]
    lengths.sort(reverse=True)
    parts = [range(start, start + 8) for start in range(0, len(lengths), 8)]

    def steps(budget: int | None) -> list[list[Shape]]:
        return [
            [
                Shape(len(rows), max(lengths[row] for row in rows))
                for rows in divided(part, lengths, budget or 2**30)
            ]
            for part in parts
        ]

    return Task(
        units=["x" * length for length in lengths],
        steps=steps,
        max_memory=max_memory,
        max_time=max_time,
    )


@pytest.mark.parametrize("gigabytes", [2.0, 2.5, 3.0, 4.0, 6.0, 9.0])
def test_micro_batches_fit_into_the_memory_given(gigabytes):
    given = task(max_memory=round(gigabytes * 1e9))
    machine = FakeMachine(COSTS)
    decisions = decide(given, machine)
    largest = given.largest(decisions.micro_batch_tokens)
    assert decisions.costs.peak_bytes(largest) <= gigabytes * 1e9
    assert machine.largest <= gigabytes * 1e9


def test_rows_are_divided_as_they_were_set_where_that_fits():
    assert decide(task(10**10), FakeMachine(COSTS)).micro_batch_tokens is None


def test_memory_for_less_than_a_row_asks_for_gradient_checkpointing():
    assert not decide(task(2_100_000_000), FakeMachine(COSTS)).gradient_checkpointing
    decisions = decide(task(1_700_000_000), FakeMachine(COSTS))
    assert decisions.gradient_checkpointing
    assert {c.name: c.value for c in decisions.choices}[
        "gradient_checkpointing"
    ] == "on"


def test_memory_that_is_too_small_for_all_of_that_is_refused_with_what_is_needed():
    with pytest.raises(SettingsError, match=r"needs about 1\.4\d GB.*Set max_memory"):
        decide(task(1_300_000_000), FakeMachine(COSTS))


def test_measuring_takes_a_tenth_of_the_time_at_most():
    class Timed(FakeMachine):
        spent = 0.0

        def measure(self, units: Sequence[str]) -> Measured:
            found = super().measure(units)
            self.spent += found.seconds
            return found

    for seconds in (60.0, 200.0, 10_000.0):
        machine = Timed(COSTS)
        decide(task(max_time=seconds), machine)
        # The smallest of them is measured in any case, and twice.
        assert machine.spent <= max(seconds / 10 + 2.5, 0)
