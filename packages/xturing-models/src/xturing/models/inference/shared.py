"""What engines around a runner have in common."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import ModelError
from xturing.core.events import Notice, tell
from xturing.models.inference.decoding.constraint import Schemas
from xturing.models.inference.runner import Runner, Work
from xturing.models.template import stop_ids

if TYPE_CHECKING:
    from xturing.models.base import BaseModel
    from xturing.models.checkpoint import Checkpoint

PROBE = 12
"""Tokens of a text that a runner is tried with first. They are prose, as what special
tokens make of weights of four bits hangs on the last digit of every product."""
WHOLE, ROUNDED = 1e-3, 0.25
"""How far logits may be from the model's own, as a share of the largest one. Rounded
weights are held to the text below; this is for a model that was read wrongly."""
LEAST_AGREEMENT = 0.9
"""Share of a text's tokens for which the likeliest one has to stay the same."""


def end_ids(tokenizer: Any) -> frozenset[int]:
    """Return the ids that end an answer."""
    return frozenset(stop_ids(tokenizer))


def schemas(
    tokenizer: Any, vocabulary: int, ends: Sequence[int] | frozenset[int]
) -> Any:
    """Return what makes constraints of JSON schemas."""
    return Schemas(tokenizer, vocabulary, sorted(ends))


def bytes_per_token(checkpoint: "Checkpoint") -> int:
    """Return what a cache in float32 takes for each token."""
    from xturing.models.caching import FLOAT, cache_bytes

    config = checkpoint.model.config
    return max(cache_bytes(config, 2, FLOAT) - cache_bytes(config, 1, FLOAT), 1)


def set_threads(count: int | None) -> None:
    """Have torch compute with so many threads in the thread that calls."""
    if count is not None:
        import torch

        torch.set_num_threads(count)


def whole(model: "BaseModel") -> Any:
    """Return the torch model with adapters merged and dense weights; `model` stays."""
    if model.has_adapter:
        return model.merged().engine.model
    if model.quantization is not None:
        from xturing.models.packing import dequantized
        from xturing.quant.quantizing import shell

        return dequantized(shell(model.engine.model))
    return model.engine.model


def refuse_wrong(
    runner: Runner, model: "BaseModel", reference: Any, name: str, *, is_rounded: bool
) -> None:
    """Raise `ModelError` if a runner's logits are not those of the reference.

    That is the model's torch module, or one with its weights made dense.

    The probe finds architectures that were read wrongly; some prose, weights that
    rounding has changed too much.
    """
    from xturing.models.fidelity import bundled_rows

    row = bundled_rows(model)[0][0].tolist()
    probe = row[:PROBE]
    wanted, found = _reference_logits(reference, probe), _logits(runner, probe)
    error = float(np.abs(found - wanted).max() / np.abs(wanted).max())
    if not error <= (ROUNDED if is_rounded else WHOLE):
        runner.close()
        raise ModelError(
            f"The engine '{name}' does not compute what {model.config_name} does (its "
            f"logits are off by {error:.1%}). Use the engine 'torch'."
        )
    if not is_rounded:
        return
    agreement = _agreement(runner, reference, row)
    if agreement < LEAST_AGREEMENT:
        runner.close()
        raise ModelError(
            f"Rounded to int8, {model.config_name} has another likeliest token in "
            f"{1 - agreement:.0%} of a text. Keep its weights whole: weights 'none'."
        )
    text = f"its first choice is the same at {agreement:.1%} of a text's tokens"
    tell(Notice(text=f"Weights are rounded to int8 for the engine '{name}': {text}."))


def _agreement(runner: Runner, reference: Any, row: Sequence[int]) -> float:
    wanted, found = _reference_logits(reference, row), _logits(runner, row)
    return float((wanted.argmax(-1) == found.argmax(-1)).mean())


def _reference_logits(reference: Any, ids: Sequence[int]) -> NDArray[Any]:
    import torch

    was_training = reference.training
    reference.eval()
    try:
        with torch.inference_mode():
            row = torch.tensor([list(ids)], device=reference.device)
            logits = reference(input_ids=row, use_cache=False).logits[0]
            return logits.float().cpu().numpy()
    finally:
        reference.train(was_training)


def _logits(runner: Runner, ids: Sequence[int]) -> NDArray[Any]:
    cache = runner.open(len(ids))
    logits = runner.step([Work(cache, list(ids), len(ids))])
    runner.release(cache)
    return logits
