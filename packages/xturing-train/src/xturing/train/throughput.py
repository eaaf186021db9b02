"""What decides how fast a run is, and nothing of what it learns.

All of it follows from the settings, the rows and the kind of device, never from the
clock: two runs with one seed take the same way to the same bits.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from xturing.core.errors import CompileError, SettingsError
from xturing.core.events import Notice, tell
from xturing.models.base import BaseModel
from xturing.models.compiling import compiled_blocks
from xturing.models.folding import folded_adapters
from xturing.models.settings import FinetuningConfig
from xturing.train.events import BlocksCompiled
from xturing.train.schedule import RunPlan

CPU_TOKENS = 2048
"""Enough for products of matrices to be at their fastest, and little enough for what
lies between them to be near the processor."""
WORTH_COMPILING = 2e13
"""Floating-point operations of a run from which on compiling is worth its time: two
minutes of two cores."""
LONG = 300.0
"""Seconds of a run with a deadline from which on it is."""


def micro_batch_tokens(config: FinetuningConfig, device: str) -> int | None:
    """Return the most tokens of a micro-batch; None: its rows are counted."""
    if config.micro_batch_tokens == "auto":
        return CPU_TOKENS if device == "cpu" else None
    return config.micro_batch_tokens


def run_flops(model: Any, tokens: int) -> float:
    """Return about how many floating-point operations training on the tokens takes.

    Two for each weight and token forward, two more for the gradient by what comes in,
    and two for the gradient by the weight, if it learns.
    """
    return sum(
        (6 if each.requires_grad else 4) * each.numel() for each in model.parameters()
    ) * float(tokens)


@contextmanager
def fast_passes(
    model: BaseModel, config: FinetuningConfig, plan: RunPlan, *, is_grouped: bool
) -> Iterator[None]:
    """Have adapters folded where that is faster, and blocks compiled as settings say.

    It tells if they cannot be compiled. `is_grouped` tells of a process that trains the
    model together with others: their weights may be elsewhere, so nothing is folded.

    Raises:
        SettingsError: they are to be compiled in a group of processes.
    """
    if is_grouped and config.compile_blocks is True:
        raise SettingsError(
            "compile_blocks is true, but blocks are compiled in runs of one process "
            "only. Set compile_blocks to auto, or devices and num_nodes to 1 and "
            "strategy to auto."
        )
    device = model.engine.device
    tokens = micro_batch_tokens(config, device.name)
    is_alone = not is_grouped and device.name == "cpu"
    with ExitStack() as stack:
        if is_alone and tokens is not None:
            # What is compiled are the blocks as they are then.
            stack.enter_context(folded_adapters(model.engine.model, tokens))
        if not is_grouped and _is_worth_it(model, config, plan):
            started = time.perf_counter()
            try:
                stack.enter_context(compiled_blocks(model.engine.model))
            except CompileError as error:
                text = f"The model's blocks run uncompiled, which is slower: {error}"
                tell(Notice(text=text))
            else:
                tell(BlocksCompiled(seconds=time.perf_counter() - started))
        yield


def _is_worth_it(model: BaseModel, config: FinetuningConfig, plan: RunPlan) -> bool:
    if config.compile_blocks != "auto":
        return config.compile_blocks
    if config.max_time is None:
        is_long = run_flops(model.engine.model, plan.tokens) > WORTH_COMPILING
    else:
        is_long = config.max_time > LONG
    return is_long and model.engine.device.name == "cpu"
