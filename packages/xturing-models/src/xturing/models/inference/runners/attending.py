"""Attention over caches of our own, behind transformers' interface for it.

Tokens of several sequences stand in one row, one sequence after the other; each attends
to what its own cache holds. So the layers around attention read all of them at once.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from xturing.core.errors import ModelError

NAME = "xturing_sequences"
NOTED = "xturing_noted"
OTHERS = ("softcap", "s_aux", "position_bias")
"""What some architectures ask of attention besides; a short text may not show it."""
_current = threading.local()


@dataclass
class TorchCache:
    """Keys and values of a sequence, of shape (1, kept heads, capacity, head size)."""

    capacity: int
    adapter: str | None
    length: int = 0
    layers: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def extended(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put a layer's new keys and values after those there; return all of them."""
        if layer not in self.layers:
            self.layers[layer] = self._empty(key), self._empty(value)
        end = self.length + key.shape[2]
        for kept, new in zip(self.layers[layer], (key, value), strict=True):
            kept[:, :, self.length : end] = new
        keys, values = self.layers[layer]
        return keys[:, :, :end], values[:, :, :end]

    def _empty(self, like: Tensor) -> Tensor:
        return like.new_empty(1, like.shape[1], self.capacity, like.shape[3])


@dataclass(frozen=True)
class Span:
    """The part of the row that belongs to a sequence."""

    start: int
    count: int
    cache: TorchCache


@contextmanager
def attending(model: Any, spans: Sequence[Span]) -> Iterator[None]:
    """Have a model's attention look at the spans' caches while this lasts."""
    with spans_are(spans), _switched(model, NAME):
        yield


@contextmanager
def spans_are(spans: Sequence[Span]) -> Iterator[None]:
    """Tell what to look at whatever attends in this thread, while this lasts."""
    _current.spans = spans
    try:
        yield
    finally:
        del _current.spans


@contextmanager
def _switched(model: Any, name: str) -> Iterator[None]:
    _register()
    configs = [model.config, model.config.get_text_config()]
    before = [config._attn_implementation for config in configs]  # noqa: SLF001
    try:
        for config in configs:
            config._attn_implementation = name  # noqa: SLF001
        yield
    finally:
        for config, kept in zip(configs, before, strict=True):
            config._attn_implementation = kept  # noqa: SLF001


def _register() -> None:
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    for name, function in {NAME: _attend, NOTED: _note}.items():
        if name not in ALL_ATTENTION_FUNCTIONS:
            ALL_ATTENTION_FUNCTIONS.register(name, function)
            ALL_MASK_ATTENTION_FUNCTIONS.register(name, _no_mask)


@dataclass(frozen=True)
class Call:
    """One call of attention: the module that asked, and what it asked besides."""

    module: Any
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Calls:
    """What attends in a model, in order, and the operator that stands for it.

    The operator takes queries, keys, values and a place in `noted`.
    """

    operator: Any
    noted: list[Call] = field(default_factory=list)


@contextmanager
def noting(model: Any) -> Iterator[Calls]:
    """Have a model's attention noted, not computed, while this lasts."""
    _current.calls = Calls(_operator()[1])
    try:
        with _switched(model, NOTED):
            yield _current.calls
    finally:
        del _current.calls


@cache
def _operator() -> tuple[Any, Any]:
    """Return an operator that a graph takes for attention, after what keeps it."""
    library = torch.library.Library("xturing", "FRAGMENT")
    library.define("attend(Tensor q, Tensor k, Tensor v, int place) -> Tensor")
    library.impl("attend", _blank, "CompositeExplicitAutograd")
    return library, torch.ops.xturing.attend.default


def _blank(query: Tensor, key: Tensor, value: Tensor, place: int) -> Tensor:
    del key, place
    return value.new_zeros(1, query.shape[2], query.shape[1], value.shape[3])


def _note(
    module: Any, query: Tensor, key: Tensor, value: Tensor, *_: object, **options: Any
) -> tuple[Tensor, None]:
    calls: Calls = _current.calls
    read = {name: options.get(name) for name in ("scaling", "sliding_window", *OTHERS)}
    calls.noted.append(Call(module, read))
    return calls.operator(query, key, value, len(calls.noted) - 1), None


def repeated(call: Call, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend as in a call that was noted, (1, tokens, heads, head size)."""
    return _attend(call.module, query, key, value, **call.options)[0]


def _no_mask(*_: object, **__: object) -> None:
    """Return no mask: what a token may look at is told by its span."""


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, *_: object, **options: Any
) -> tuple[Tensor, None]:
    for name in OTHERS:
        if options.get(name) is not None:
            raise ModelError(f"Attention with '{name}' is computed one by one only.")
    parts = []
    for span in _current.spans:
        part = slice(span.start, span.start + span.count)
        keys, values = span.cache.extended(
            module.layer_idx, key[:, :, part], value[:, :, part]
        )
        parts.append(_one(query[:, :, part], keys, values, options))
    made = torch.cat(parts, 2) if len(parts) > 1 else parts[0]
    # Tokens after the last span only fill the row up.
    missing = query.shape[2] - made.shape[2]
    if missing:
        made = functional.pad(made, (0, 0, 0, missing))
    return made.transpose(1, 2), None


def _one(
    query: Tensor, keys: Tensor, values: Tensor, options: dict[str, Any]
) -> Tensor:
    """Return what a sequence's new tokens get, (1, heads, count, head size)."""
    count, total = query.shape[2], keys.shape[2]
    window = options.get("sliding_window") or total
    if count == 1:
        keys, values = keys[:, :, -window:], values[:, :, -window:]
        mask = None
    else:
        mask = _mask(count, total, window, query.device)
    return functional.scaled_dot_product_attention(
        query,
        keys,
        values,
        attn_mask=mask,
        scale=options.get("scaling"),
        enable_gqa=keys.shape[1] != query.shape[1],
    )


def _mask(count: int, total: int, window: int, device: torch.device) -> Tensor:
    """Return which of the `total` tokens each of the last `count` looks at."""
    seen = torch.arange(total, device=device)[None]
    own = torch.arange(total - count, total, device=device)[:, None]
    return (seen <= own) & (seen > own - window)
