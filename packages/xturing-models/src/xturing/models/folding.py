"""LoRA's layers with their adapters worked into the weights for each product.

Beside the weights, an adapter's output is as large as the layer's own and is made,
scaled and added apart. While there are more tokens than the layer has inputs and
outputs, W + s B A is smaller than what it saves: it is made for one product, and again
for the one of the backward pass, and never kept. What is learnt is the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@contextmanager
def folded_adapters(model: Any, tokens: int) -> Iterator[None]:
    """Have adapters worked into the weights while this lasts, for training on them.

    `tokens` are those of a micro-batch: layers that are larger stay as they are, and so
    does all that takes no gradients.
    """
    layers = foldable_layers(model, tokens)
    try:
        for layer in layers:
            layer.forward = MethodType(_forward, layer)
        yield
    finally:
        for layer in layers:
            del layer.forward


def foldable_layers(model: Any, tokens: int) -> list[Any]:
    """Return the adapted layers that are faster when folded, and can be.

    Their adapter is a plain one without dropout, on a frozen weight of single
    precision: into a shorter one, it would be rounded away.
    """
    return [layer for layer in model.modules() if _is_foldable(layer, tokens)]


def _is_foldable(layer: Any, tokens: int) -> bool:
    from peft.tuners.lora import Linear

    if not isinstance(layer, Linear) or len(layer.active_adapters) != 1:
        return False
    name, base = layer.active_adapters[0], layer.get_base_layer()
    if type(base) is not torch.nn.Linear or name not in layer.lora_A:
        return False
    dropout: Any = layer.lora_dropout[name]
    used = [base.weight, layer.lora_A[name].weight, layer.lora_B[name].weight]
    return (
        name not in layer.lora_variant
        and not layer.lora_bias[name]
        and not getattr(dropout, "p", 0.0)
        # Packed weights can be tensors of a kind of their own.
        and all(type(each.data) is torch.Tensor for each in used)
        and all(each.dtype == torch.float32 for each in used)
        and not any(each.requires_grad for each in base.parameters())
        and max(base.weight.shape) <= tokens
    )


def _forward(layer: Any, hidden: Tensor, *others: Any, **named: Any) -> Any:
    if (
        others
        or named
        or layer.disable_adapters
        or layer.merged
        or not torch.is_grad_enabled()
        or hidden.dtype != torch.float32
    ):
        return type(layer).forward(layer, hidden, *others, **named)
    name, base = layer.active_adapters[0], layer.base_layer
    a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
    function: Any = _Folded
    return function.apply(
        hidden, base.weight, base.bias, a, b, float(layer.scaling[name])
    )


class _Folded(torch.autograd.Function):
    """x -> (W + s B A) x + bias, of which W and the bias are frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
    ) -> Tensor:
        ctx.save_for_backward(hidden, weight, a, b)
        ctx.scale = scale
        return functional.linear(hidden, torch.addmm(weight, b, a, alpha=scale), bias)

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, by_output: Tensor
    ) -> tuple[Tensor | None, ...]:
        hidden, weight, a, b = ctx.saved_tensors
        rows = hidden.flatten(0, -2)
        by_rows = by_output.reshape(-1, len(weight))
        by_low = by_rows @ b
        by_a = (by_low.T @ rows) * ctx.scale
        # Long and thin is faster on the right than on the left of a product.
        low = rows @ a.T
        by_b = ((low.T @ by_rows) * ctx.scale).T
        by_hidden = None
        if ctx.needs_input_grad[0]:
            # A compiler would keep the forward pass's sum, which is a second copy of
            # the weights, unless this one can only be made now.
            now = by_low[:1].sum() * 0
            folded = torch.addmm(weight, b, a + now, alpha=ctx.scale)
            by_hidden = (by_rows @ folded).view(hidden.shape)
        return by_hidden, None, None, by_a, by_b, None
