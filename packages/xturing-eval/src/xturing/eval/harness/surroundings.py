"""The lm-evaluation-harness, without what it does to the process around it.

It sets environment variables and global seeds, and it prints, draws and logs.
"""

import logging
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from contextvars import copy_context
from importlib import import_module
from pathlib import Path
from types import ModuleType

from xturing.core.events import Event, listening, tell, unheard
from xturing.core.extras import require


def library(module: str) -> ModuleType:
    """Import a module of lm-eval.

    Raises:
        MissingDependencyError: it is not installed; the message has the pip line.
    """
    with same_environment():
        require("lm_eval", package="xturing-eval", extra="harness")
        return import_module(f"lm_eval.{module}")


@contextmanager
def same_environment(**changes: str) -> Iterator[None]:
    """Change environment variables in the block, and put all back as they were."""
    before = dict(os.environ)
    try:
        os.environ.update(changes)
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed what tasks draw from as lm-eval does, and put it back after the block.

    `seed` is added to lm-eval's own seeds, so that with 0 it draws what it always does.
    """
    import numpy as np
    import torch

    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            random.seed(library("defaults").DEFAULT_RANDOM_SEED + seed)
            np.random.seed(other_seed(seed))  # noqa: NPY002
            torch.manual_seed(other_seed(seed))
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def other_seed(seed: int) -> int:
    """Return the seed of everything but Python's own generator."""
    return library("defaults").DEFAULT_OTHER_SEED + seed


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what is printed, drawn and logged by lm-eval off the terminal.

    Who listens to events is told of them all the same, and may print.
    """
    streams = sys.stdout, sys.stderr
    outside = copy_context()

    def pass_on(event: Event) -> None:
        with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
            outside.run(tell, event)

    logger = logging.getLogger("lm_eval")
    level = logger.level
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        logger.setLevel(logging.CRITICAL + 1)
        try:
            with (
                redirect_stdout(nowhere),
                redirect_stderr(nowhere),
                unheard(),
                listening(pass_on),
            ):
                yield
        finally:
            logger.setLevel(level)
