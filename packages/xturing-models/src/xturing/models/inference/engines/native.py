"""The engine of our own decoder: LLaMA-like models on a processor, the fastest here.

Weights are rounded to int8 in groups of 64 with a scale each, and what is multiplied by
them, or kept of a token, to 16 bits, unless `weights` is "none"; everything else is in
full precision. What an answer is does not depend on what is answered beside it, to the
bit. The decoder is compiled once, by the machine's C++ compiler.
"""

import os
from typing import TYPE_CHECKING

from xturing.core.errors import ModelError, SettingsError
from xturing.models.inference.adapters import low_rank
from xturing.models.inference.batching import BatchingEngine, Parts
from xturing.models.inference.engine import Capabilities, EngineOptions
from xturing.models.inference.shared import end_ids, refuse_wrong, schemas, whole

if TYPE_CHECKING:
    from xturing.models.base import BaseModel

SCHEMES = (None, "int8", "none")


def open_engine(model: "BaseModel", options: EngineOptions) -> BatchingEngine:
    """Return an engine that computes with the compiled decoder.

    Raises:
        ModelError: the architecture is another one, or the logits are not the model's.
        CompileError: there is no C++ compiler.
    """
    from xturing.models.inference.engines.torch import contrastive
    from xturing.models.inference.runners.native import NativeRunner

    if options.weights not in SCHEMES:
        raise SettingsError(
            f"weights is '{options.weights}'; the engine 'native' keeps them as 'int8' "
            "or, whole, as 'none'."
        )
    if model.engine.device.name != "cpu":
        raise ModelError(
            "The engine 'native' computes on the processor, and this model is on "
            f"{model.engine.device.name}. Use the engine 'torch' or 'vllm'."
        )
    checkpoint = model.engine
    dense = whole(model)
    runner = NativeRunner(
        dense,
        scheme=options.weights or "int8",
        threads=options.threads or _cores(),
        adapters={name: low_rank(path) for name, path in options.adapters.items()},
    )
    # Packed weights may be multiplied by rounded activations, which is not done here.
    reference = checkpoint.model if model.quantization is None else dense
    is_rounded = options.weights != "none"
    refuse_wrong(runner, model, reference, "native", is_rounded=is_rounded)
    ends = end_ids(checkpoint.tokenizer)
    parts = Parts(
        name="native",
        runner=runner,
        tokenizer=checkpoint.tokenizer,
        ends=ends,
        bytes_per_token=runner.open(1).bytes,
        capabilities=Capabilities(
            contrastive_search=not options.adapters,
            json_schema=True,
            adapters=True,
            is_batch_invariant=True,
        ),
        schemas=schemas(checkpoint.tokenizer, runner.vocabulary, ends),
        contrastive=None if options.adapters else contrastive(checkpoint),
    )
    return BatchingEngine(parts, options)


def _cores() -> int:
    """Return the cores that this process may use; more threads wait for each other."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
