"""Programs that are killed again and again, and go on each time."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

SHARE = 0.25
"""Of the time of a whole run: the longest that a life lasts."""


def living(work: Callable[[], object]) -> int:
    """Start a process that does some work, and return its number.

    It is a fork, so that what it needs is imported once.
    """
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def kill_often(
    place: Path, work: Callable[[Path], object], last_file: str, kills: int
) -> int:
    """Return how many times runs were killed, when the last has come to its end.

    The folder `whole` has a run that was left alone, `killed-0`, `killed-1` … those
    that were not, as many as it takes. A run with `last_file` has ended.
    """
    moments = random.Random(0)
    started = time.monotonic()
    whole = living(lambda: work(place / "whole"))
    assert os.waitpid(whole, 0)[1] == 0
    longest = SHARE * (time.monotonic() - started)
    done = runs = 0
    while done < kills:
        folder = place / f"killed-{runs}"
        runs += 1
        while not (folder / last_file).is_file():
            number = living(lambda folder=folder: work(folder))
            if done < kills:
                time.sleep(moments.uniform(0, longest))
                os.kill(number, signal.SIGKILL)
            status = os.waitpid(number, 0)[1]
            done += os.WIFSIGNALED(status)
            assert os.WIFSIGNALED(status) or status == 0
    return done
