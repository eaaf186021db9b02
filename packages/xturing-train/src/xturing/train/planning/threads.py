"""How many threads compute, if that is to be measured."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from xturing.train.reporting.additions import Choice

TRIALS = 3
"""Times that every number of threads is measured; the fastest counts."""
WORTH_A_CHANGE = 0.05
"""Share of the time that another number must save to be chosen."""


@contextmanager
def keeping_threads() -> Iterator[None]:
    """Have as many threads after the block as before it."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fastest_threads(seconds: Callable[[], float]) -> Choice:
    """Set the number of threads that takes the least time, and return the choice.

    Tried are the number that is set, and half of it: two threads of one core are at
    times slower than one. `seconds` takes a micro-step and returns how long it took.
    """
    usual = torch.get_num_threads()
    times: dict[int, float] = {}
    for threads in dict.fromkeys((usual, max(usual // 2, 1))):
        torch.set_num_threads(threads)
        times[threads] = min(seconds() for _ in range(TRIALS))
    best = min(times, key=times.__getitem__)
    if times[best] > (1 - WORTH_A_CHANGE) * times[usual]:
        best = usual
    torch.set_num_threads(best)
    measured = ", ".join(f"{n}: {each:.2f} s" for n, each in times.items())
    reason = f"seconds of a micro-step by threads were {measured}"
    return Choice(name="threads", value=str(best), reason=reason)
