"""Gradient checkpointing: blocks keep what they read, and compute the rest twice.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

from torch.utils.checkpoint import checkpoint

from xturing.core.errors import ModelError
from xturing.models.blocks import decoder_blocks

FORWARD = "forward"


@contextmanager
def checkpointed(model: Any) -> Iterator[None]:
    """Have every decoder block drop what backward needs, and compute it again there.

    Loss and gradients stay what they are to the bit, dropout included. It is active
    wherever gradients are on, in whatever mode the model is and whichever weights are
    frozen; transformers' own switch is off in eval mode without a word. Compile after
    entering, if at all. The model is as it was on leaving.

    Raises:
        ModelError: the model does not say which its blocks are.
    """
    blocks = decoder_blocks(model)
    if not blocks:
        raise ModelError(
            f"{type(model).__name__} does not say which of its layers are blocks, so "
            "none can be checkpointed. Set gradient_checkpointing to false."
        )
    # Libraries put forwards of their own on a block, too.
    before = [vars(block).get(FORWARD) for block in blocks]
    try:
        for block in blocks:
            block.forward = _twice(block.forward)
        yield
    finally:
        for block, own in zip(blocks, before, strict=True):
            if own is None:
                vars(block).pop(FORWARD, None)
            else:
                block.forward = own


def _twice(forward: Any) -> Any:
    # The other way, reentrant, has no gradient where a block's inputs need none.
    return wraps(forward)(partial(checkpoint, forward, use_reentrant=False))
