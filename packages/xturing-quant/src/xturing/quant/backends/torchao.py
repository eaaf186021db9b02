"""The torchao backend: int8 weights, as tensors of torchao's own kind."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor, nn

from xturing.core.extras import require
from xturing.quant.backend import Work, dense, dense_again, layer_by_layer, missing
from xturing.quant.plan import Target
from xturing.quant.schemes import Scheme


class TorchAO:
    """Linear layers whose weight is a tensor of torchao."""

    name = "torchao"

    def refusal(self, scheme: Scheme, device: torch.device) -> str | None:
        """Return why it cannot keep weights in a scheme on a device, if it cannot."""
        if scheme.name != "int8":
            return "only its int8 can be trained on and saved without a GPU"
        return missing("torchao", find_spec("torchao") is not None, self.name)

    def quantize(self, work: Work) -> nn.Module:
        """Return the model with weights as torchao keeps them."""
        return layer_by_layer(work, self.name, _made)

    def holds(self, module: nn.Module) -> bool:
        """Tell whether a module's weight is a tensor of torchao."""
        weight = module._parameters.get("weight")  # noqa: SLF001
        return weight is not None and type(weight).__module__.startswith("torchao.")

    def dequantize(self, module: nn.Module) -> nn.Module:
        """Return a linear layer with the dequantized weight."""
        weight: Any = module.weight
        return dense_again(module, weight.dequantize())

    def tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """Return the tensors that torchao's one is made of."""
        weight: Any = module.weight
        return {"qdata": weight.qdata, "scale": weight.scale}

    def rebuild(
        self,
        target: Target,
        scheme: Scheme,
        group_size: int | None,
        tensors: Mapping[str, Tensor],
    ) -> nn.Module:
        """Return a linear layer from what `tensors` gave."""
        kind = _library().Int8Tensor
        codes, scale = tensors["qdata"], tensors["scale"]
        block = [1, codes.shape[1] // (scale.numel() // codes.shape[0])]
        weight = kind(codes, scale, block, scale.dtype)
        layer = dense(cast(nn.Linear, target.module), target.weight)
        layer.weight = nn.Parameter(weight, requires_grad=False)
        return layer


BACKEND = TorchAO()


def int8_config(group_size: int | None = None) -> Any:
    """Return torchao's own configuration of int8 weights."""
    library = _library()
    options = {"granularity": library.PerGroup(group_size)} if group_size else {}
    return library.Int8WeightOnlyConfig(**options)


def _made(dense_layer: nn.Linear, scheme: Scheme, group_size: int | None) -> nn.Module:
    layer = dense(dense_layer, dense_layer.weight.detach())
    config = int8_config(group_size)
    _library().quantize_(layer, config, filter_fn=lambda *_: True)
    layer.weight.requires_grad_(False)
    return layer


def _library() -> Any:
    return require("torchao.quantization", package="xturing-quant", extra="torchao")
