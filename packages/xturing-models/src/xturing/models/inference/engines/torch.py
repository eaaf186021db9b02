"""The engine that is always there: torch, on any device, for any architecture.

Weights stay as the model has them, quantized ones too. With `weights`, they are rounded
to a scheme of xturing.quant.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from xturing.models.inference.batching import BatchingEngine, Parts
from xturing.models.inference.engine import Capabilities, EngineOptions
from xturing.models.inference.requests import Request
from xturing.models.inference.shared import (
    bytes_per_token,
    end_ids,
    schemas,
    set_threads,
)
from xturing.models.settings import CONTRASTIVE_CANDIDATES

if TYPE_CHECKING:
    from xturing.models.base import BaseModel
    from xturing.models.checkpoint import Checkpoint


def open_engine(model: "BaseModel", options: EngineOptions) -> BatchingEngine:
    """Return an engine that computes with torch.

    Raises:
        QuantizationError: the weights cannot be rounded to `options.weights`.
        ModelError: an adapter does not fit the model.
    """
    from xturing.models.inference.runners.torch import open_runner
    from xturing.models.inference.runners.workers import dismiss_workers

    if options.weights not in (None, "none"):
        model = (model.merged() if model.has_adapter else model).quantize(
            options.weights
        )
    checkpoint = model.engine
    runner = open_runner(checkpoint, options.adapters)
    dismiss_workers()
    ends = end_ids(checkpoint.tokenizer)
    parts = Parts(
        name="torch",
        runner=runner,
        tokenizer=checkpoint.tokenizer,
        ends=ends,
        bytes_per_token=bytes_per_token(checkpoint),
        capabilities=Capabilities(
            contrastive_search=not options.adapters, json_schema=True, adapters=True
        ),
        schemas=schemas(checkpoint.tokenizer, runner.vocabulary, ends),
        contrastive=None if options.adapters else contrastive(checkpoint),
        can_rewind=runner.can_rewind,
        prepare=partial(set_threads, options.threads),
    )
    return BatchingEngine(parts, options)


def contrastive(checkpoint: "Checkpoint") -> Callable[[Request], Iterator[int]]:
    """Return what writes by contrastive search with a model of torch."""
    from xturing.models.contrastive import contrastive_tokens

    def write(request: Request) -> Iterator[int]:
        import torch

        checkpoint.model.eval()
        decoding = request.decoding
        ids = torch.tensor([request.prompt], device=checkpoint.device.name)
        steps = contrastive_tokens(
            checkpoint.model,
            ids,
            torch.ones_like(ids),
            candidates=decoding.top_k or CONTRASTIVE_CANDIDATES,
            penalty_alpha=decoding.penalty_alpha or 0.0,
        )
        while True:
            with torch.inference_mode():
                tokens = next(steps)
            yield int(tokens[0])

    return write
