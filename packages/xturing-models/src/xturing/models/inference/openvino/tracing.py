"""A transformers model as one graph that leaves attention to whoever runs it.

Tokens of several sequences lie behind one another in it, without a batch. Each layer's
queries, keys and values come out, and what attention made of them goes in: everything
else in a model looks at one token alone.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from xturing.models.inference.openvino.library import unfit

OBSTACLES = {
    "softcap": "its attention scores are capped",
    "s_aux": "its attention has sinks",
}
"""What some models pass to their attention, and what that means."""
EXAMPLE = 7
"""Tokens that a model is traced with."""


class Attention(BaseModel):
    """What one layer's attention is like."""

    model_config = ConfigDict(frozen=True)

    scale: float
    window: int
    """Tokens that it looks back over, its own included; 0: all."""
    heads: int
    kv_heads: int
    key_size: int
    """Width of a head's queries and keys."""
    value_size: int


@dataclass(frozen=True)
class Traced:
    """A model's graph.

    Its inputs are token ids and positions, of shape (tokens,), the indices of tokens
    whose logits are wanted, and of each layer what was attended to, of shape (tokens,
    heads x value size). Its outputs are the logits and of each layer queries, keys and
    values, of shape (tokens, heads x size).
    """

    program: torch.export.ExportedProgram
    layers: tuple[Attention, ...]


def traced(model: Any) -> Traced:
    """Return a model's graph; the model is one that may be changed.

    Raises:
        ModelError: it does more than attention from token to token, or cannot be
            traced.
    """
    name = type(model).__name__
    taken = inspect.signature(model.forward).parameters
    for needed in ("position_ids", "logits_to_keep"):
        if needed not in taken:
            raise unfit(name, f"its forward() takes no {needed}")
    if not model._can_set_attn_implementation():  # noqa: SLF001  # no other way
        raise unfit(name, "it does not use transformers' attention interface")
    # Not one tensor for all: the graph would not tell them apart.
    example = torch.arange(EXAMPLE), torch.arange(EXAMPLE), torch.arange(2, 5)
    with _collecting(model) as collector, torch.no_grad():
        opened = _Opened(model, collector)
        opened(*example, [])
        _refuse_unlike(model, collector)
        layers = tuple(collector.layers)
        blanks = [torch.zeros(EXAMPLE, a.heads * a.value_size) for a in layers]
        program = _exported(opened, (*example, blanks), name)
    return Traced(program, layers)


class _Collector:
    """Takes attention's place: notes what it is given, and returns what it is told."""

    def __init__(self) -> None:
        self.layers: list[Attention] = []
        self.asked: list[Tensor] = []
        self.answers: Sequence[Tensor] = ()
        self.obstacles: list[str] = []
        self.masked: set[int] = set()

    def begin(self, answers: Sequence[Tensor]) -> None:
        self.layers, self.asked, self.answers = [], [], answers

    def attend(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        scaling: float | None = None,
        sliding_window: int | None = None,
        **others: Any,
    ) -> tuple[Tensor, None]:
        del module, mask
        _, heads, tokens, size = query.shape
        for given in (query, key, value):
            self.asked.append(given[0].transpose(0, 1).reshape(tokens, -1))
        attention = Attention(
            scale=1 / math.sqrt(size) if scaling is None else float(scaling),
            window=sliding_window or 0,
            heads=heads,
            kv_heads=key.shape[1],
            key_size=key.shape[3],
            value_size=value.shape[3],
        )
        self.layers.append(attention)
        self.obstacles += [
            reason for name, reason in OBSTACLES.items() if others.get(name) is not None
        ]
        shape = 1, tokens, heads, attention.value_size
        number = len(self.layers) - 1
        if number >= len(self.answers):
            return value.new_zeros(shape), None
        return self.answers[number].reshape(shape), None

    def mask(self, *_: object, local_size: int | None = None, **__: object) -> None:
        """Note over how many tokens a mask would have layers look back."""
        self.masked.add(local_size or 0)


class _Opened(nn.Module):
    def __init__(self, model: nn.Module, collector: _Collector) -> None:
        super().__init__()
        self.model = model
        self._collector = collector

    def forward(
        self, ids: Tensor, positions: Tensor, wanted: Tensor, attended: list[Tensor]
    ) -> tuple[Tensor, ...]:
        self._collector.begin(attended)
        output = self.model(
            input_ids=ids[None],
            position_ids=positions[None],
            logits_to_keep=wanted,
            use_cache=False,
        )
        return output.logits[0], *self._collector.asked


@contextmanager
def _collecting(model: Any) -> Iterator[_Collector]:
    """Have a model's attention collected."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    collector = _Collector()
    name = f"collected_{uuid4().hex}"
    registries: list[tuple[Any, Callable[..., Any]]] = [
        (ALL_ATTENTION_FUNCTIONS, collector.attend),
        (ALL_MASK_ATTENTION_FUNCTIONS, collector.mask),
    ]
    for registry, function in registries:
        registry.register(name, function)
    before = model.config._attn_implementation  # noqa: SLF001  # no other way
    try:
        model.set_attn_implementation(name)
        yield collector
    finally:
        model.set_attn_implementation(before)
        for registry, _ in registries:
            # Nothing else takes a registered function out again.
            del registry._global_mapping[name]  # noqa: SLF001


def _refuse_unlike(model: Any, collector: _Collector) -> None:
    """Raise `ModelError` if a model's attention is not of the ordinary kind."""
    name = type(model).__name__
    count = model.config.get_text_config().num_hidden_layers
    if len(collector.layers) != count:
        raise unfit(
            name,
            f"only {len(collector.layers)} of its {count} layers attend in the way of "
            "transformers' attention interface",
        )
    if collector.obstacles:
        raise unfit(name, collector.obstacles[0])
    unseen = collector.masked - {attention.window for attention in collector.layers}
    if unseen - {0}:
        raise unfit(
            name, f"it divides texts into parts of {max(unseen)} tokens by a mask"
        )


def _exported(opened: nn.Module, example: tuple[Any, ...], name: str) -> Any:
    tokens, wanted = (
        torch.export.Dim("tokens", min=2),
        torch.export.Dim("wanted", min=2),
    )
    shapes = {0: tokens}, {0: tokens}, {0: wanted}, [{0: tokens}] * len(example[3])
    try:
        return torch.export.export(opened, example, dynamic_shapes=shapes)
    # What goes wrong in tracing has no common type.
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise unfit(name, f"torch cannot trace it ({reason})") from error
