"""A quantization backend: a row of weights as whole numbers with one scale."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from xturing.quant.backend import Work, dense_again, layer_by_layer
from xturing.quant.plan import Target
from xturing.quant.schemes import Scheme

LARGEST = 127


class Rows(nn.Module):
    """A linear layer with codes of shape (out, in), and scales of shape (out, 1)."""

    codes: Tensor
    scales: Tensor

    def __init__(self, layer: nn.Linear, codes: Tensor, scales: Tensor) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.bias = layer.bias
        self.train(layer.training)

    def dense(self) -> Tensor:
        """Return the weights that the codes stand for."""
        return self.codes.to(self.scales.dtype) * self.scales

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the layer."""
        return nn.functional.linear(x, self.dense().to(x.dtype), self.bias)


class Example:
    """Linear layers in int8."""

    name = "example"

    def refusal(self, scheme: Scheme, device: torch.device) -> str | None:
        """Return why it cannot keep weights in a scheme on a device, if it cannot."""
        return None if scheme.name == "int8" else "it has int8 only"

    def quantize(self, work: Work) -> nn.Module:
        """Return the model with its targets in codes."""
        return layer_by_layer(work, self.name, _made)

    def holds(self, module: nn.Module) -> bool:
        """Tell whether a module is one of its own."""
        return isinstance(module, Rows)

    def dequantize(self, module: nn.Module) -> nn.Module:
        """Return the dense module in place of one of its own."""
        return dense_again(module, cast(Rows, module).dense())

    def tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """Return what has to be kept of the quantized weights of one of its own."""
        layer = cast(Rows, module)
        return {"codes": layer.codes, "scales": layer.scales}

    def rebuild(
        self,
        target: Target,
        scheme: Scheme,
        group_size: int | None,
        tensors: Mapping[str, Tensor],
    ) -> nn.Module:
        """Return the module that `tensors` came from, in place of a dense one."""
        layer = cast(nn.Linear, target.module)
        return Rows(layer, tensors["codes"], tensors["scales"])


BACKEND = Example()


def _made(layer: nn.Linear, scheme: Scheme, group_size: int | None) -> nn.Module:
    weight = layer.weight.detach()
    # The smallest number there is keeps a row of zeros from being divided by zero.
    smallest = torch.finfo(weight.dtype).tiny
    scales = weight.abs().amax(1, keepdim=True).clamp_min(smallest * LARGEST) / LARGEST
    return Rows(layer, (weight / scales).round().to(torch.int8), scales)
