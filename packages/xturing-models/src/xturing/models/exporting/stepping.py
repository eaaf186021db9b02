"""A model as a program for other runtimes: new tokens, and what is known of others.

The interface is the one that other exporters of transformers models have: `input_ids`,
`position_ids` and `past_key_values.N.key` of shapes (batch, seq), (batch, seq) and
(batch, heads, past, size), `attention_mask` of shape (batch, past + seq), and out come
`logits` and `present.N.key`. The past may be empty.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from xturing.core.errors import ModelError

if TYPE_CHECKING:
    from xturing.models.base import BaseModel

Arrays = dict[str, np.ndarray[Any, Any]]
STEP = ("input_ids", "attention_mask", "position_ids")
EXAMPLE = 2, 3, 5
"""Rows, new tokens and earlier ones of the traced input: none is 0 or 1, which a
program would be made for."""


@dataclass(frozen=True)
class Program:
    """A traced model, and the names of what goes in and comes out, in order."""

    exported: torch.export.ExportedProgram
    past: tuple[str, ...]
    present: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    """Heads and numbers in each, for each name of `past`."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """All names of what goes in."""
        return (*STEP, *self.past)

    @property
    def outputs(self) -> tuple[str, ...]:
        """All names of what comes out."""
        return ("logits", *self.present)


def traced(model: "BaseModel") -> Program:
    """Return a model's program in float32.

    Raises:
        ModelError: the model keeps something else of earlier tokens than keys and
            values, or cannot be traced.
    """
    network = _on_cpu(model.engine.model)
    kept = _kept(network)
    rows, new, earlier = EXAMPLE
    past = [
        tuple(torch.zeros(rows, heads, earlier, size) for heads, size in pair)
        for pair in kept
    ]
    step = (
        torch.zeros(rows, new, dtype=torch.long),
        torch.ones(rows, earlier + new, dtype=torch.long),
        torch.arange(earlier, earlier + new).repeat(rows, 1),
    )
    free = torch.export.Dim.DYNAMIC
    shapes: Any = (
        *[{0: free, 1: free}] * len(step),
        [({0: free, 2: free},) * 2] * len(past),
    )
    try:
        with torch.no_grad():
            exported = torch.export.export(
                _Step(network), (*step, past), dynamic_shapes=shapes, strict=False
            )
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{type(network).__name__} cannot be traced for other runtimes: {error}"
        ) from error
    parts = [f"{layer}.{part}" for layer in range(len(kept)) for part in _PARTS]
    return Program(
        exported,
        tuple(f"past_key_values.{part}" for part in parts),
        tuple(f"present.{part}" for part in parts),
        tuple(size for pair in kept for size in pair),
    )


_PARTS = ("key", "value")


class Session(Protocol):
    """Another runtime with a program, which keeps nothing between two calls."""

    def __call__(self, inputs: Arrays) -> Arrays:
        """Return what comes out by name."""
        ...


class Stepped(nn.Module):
    """A program's logits for whole rows, read in two steps.

    The second step reads the past that the first one made, so that this is compared
    with the model, too.
    """

    def __init__(
        self, session: Session, past: Sequence[str], sizes: Sequence[tuple[int, int]]
    ) -> None:
        super().__init__()
        self._session = session
        self._sizes = dict(zip(past, sizes, strict=True))

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits of shape (1, seq, vocabulary)."""
        row = ids.cpu().numpy()
        cut = row.shape[1] // 2
        past = {
            name: np.zeros((1, heads, 0, size), dtype=np.float32)
            for name, (heads, size) in self._sizes.items()
        }
        logits = []
        for begin, end in ((0, cut), (cut, row.shape[1])):
            inputs = step_inputs(row[:, begin:end], begin)
            found = self._session(inputs | past)
            logits.append(found["logits"])
            past = {name: found[present_of(name)] for name in past}
        return torch.from_numpy(np.concatenate(logits, axis=1))


def step_inputs(ids: np.ndarray[Any, Any], earlier: int) -> Arrays:
    """Return what goes in for new tokens after so many, all of which count."""
    rows, new = ids.shape
    mask = np.ones((rows, earlier + new), dtype=np.int64)
    positions = np.arange(earlier, earlier + new, dtype=np.int64)
    values = ids.astype(np.int64), mask, np.tile(positions, (rows, 1))
    return dict(zip(STEP, values, strict=True))


def present_of(name: str) -> str:
    """Return what an input of the past is called when it comes out."""
    return name.replace("past_key_values", "present")


class _Step(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        past: list[tuple[Tensor, Tensor]],
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=_cache(past),
            use_cache=True,
        )
        layers = output.past_key_values.layers
        return output.logits, [(layer.keys, layer.values) for layer in layers]


def _cache(past: list[tuple[Tensor, Tensor]]) -> Any:
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache()
    for keys, values in past:
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        # Otherwise the program would begin by joining these to nothing.
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def _on_cpu(network: Any) -> Any:
    """Return a model in float32 on the CPU, the same one if it is that already."""
    if network.device.type == "cpu" and network.dtype == torch.float32:
        return network.eval()
    return deepcopy(network).float().cpu().eval()


def _kept(network: Any) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the heads and their sizes of each layer's keys and values.

    Raises:
        ModelError: it keeps something else.
    """
    from transformers import DynamicCache

    with torch.no_grad():
        found = network(torch.zeros(1, 2, dtype=torch.long), use_cache=True)
    cache = getattr(found, "past_key_values", None)
    if not isinstance(cache, DynamicCache) or not all(
        hasattr(layer, "keys") for layer in cache.layers
    ):
        raise ModelError(
            f"{type(network).__name__} keeps something else of earlier tokens than "
            "keys and values, so there is no program of it. Export it as safetensors."
        )
    layers: Any = cache.layers
    return [
        (_heads_and_size(layer.keys), _heads_and_size(layer.values)) for layer in layers
    ]


def _heads_and_size(kept: Tensor) -> tuple[int, int]:
    return kept.shape[1], kept.shape[3]
