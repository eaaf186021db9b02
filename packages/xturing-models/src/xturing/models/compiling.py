"""Decoder blocks compiled, one program for all of them and for batches of any shape.

Compiling a whole model takes minutes; its blocks are alike, so that one of them stands
for all. The model's other parts run as they are, and so does all that takes no
gradients: a block that is called with a cache would be compiled anew for each.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from xturing.core.errors import CompileError
from xturing.models.blocks import decoder_blocks

PROBE = 3, 23
"""Rows and tokens of the batch that is compiled with: no size of a model, and not 0 or
1, which would be compiled for themselves."""


@contextmanager
def compiled_blocks(model: Any) -> Iterator[None]:
    """Have a model's decoder blocks compiled while this lasts, for training it.

    They are compiled at once; nothing is learnt from it, and the random state stays as
    it was. A batch of one row runs uncompiled: it would need a program of its own.

    Raises:
        CompileError: there is no compiler, or it cannot do with this model. The model
            is as it was, and works as it did.
    """
    blocks = decoder_blocks(model)
    if not blocks:
        raise CompileError(
            f"{type(model).__name__} does not tell which of its layers are alike."
        )
    try:
        with _quiet_compiler():
            for block in blocks:
                block.compile(dynamic=True)
                block._compiled_call_impl = _where_fit(block)  # noqa: SLF001
            _try_out(model)
            yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None  # noqa: SLF001


def _where_fit(block: Any) -> Callable[..., Any]:
    """Return what calls a block's program, or the block itself."""
    program, plain = block._compiled_call_impl, block._call_impl  # noqa: SLF001

    def call(hidden: Tensor, *others: Any, **named: Any) -> Any:
        is_fit = torch.is_grad_enabled() and len(hidden) > 1
        return (program if is_fit else plain)(hidden, *others, **named)

    return call


def _try_out(model: Any) -> None:
    """Go forward and backward once, so that all is compiled or all is not."""
    device = next(model.parameters()).device
    rows: Tensor = torch.zeros(PROBE, dtype=torch.long, device=device)
    learning = [each for each in model.parameters() if each.requires_grad]
    try:
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            torch.enable_grad(),
        ):
            logits = model(input_ids=rows, use_cache=False).logits
            torch.autograd.grad(logits.sum(), learning, allow_unused=True)
    # Compilers fail with errors of many kinds, those of the system's own among them.
    except Exception as error:
        raise CompileError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {line}"[:300]


@contextmanager
def _quiet_compiler() -> Iterator[None]:
    """Keep from the user what the compiler says to its developers."""
    logger = logging.getLogger("torch.utils.cpp_extension")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # It looks at every input's gradient, whether there can be one or not.
            warnings.filterwarnings("ignore", "The .grad attribute of a Tensor")
            yield
    finally:
        logger.setLevel(level)
