"""NEFTune: noise on embeddings while training (Jain et al. 2023, arXiv 2310.05914)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def noisy_embeddings(
    model: Any, alpha: float | None, lengths: Tensor
) -> Iterator[None]:
    """Add noise to what is learnt from, and to nothing else.

    Uniform within alpha / sqrt(length * width) of 0, each row with its own length in
    tokens, padding not counted; `lengths` has the shape (batch,). Without gradients or
    outside of training mode, none is added.
    """

    def add(_module: object, _given: object, embedded: Tensor) -> Tensor:
        if not (model.training and torch.is_grad_enabled()):
            return embedded
        area = lengths.to(embedded.device) * embedded.shape[-1]
        reach = (alpha or 0.0) / area.to(embedded.dtype).sqrt()
        noise = torch.empty_like(embedded).uniform_(-1, 1)
        return embedded + noise * reach[:, None, None]

    if alpha is None:
        yield
        return
    hook = model.get_input_embeddings().register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()
