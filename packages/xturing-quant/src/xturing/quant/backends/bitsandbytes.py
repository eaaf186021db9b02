"""The bitsandbytes backend: LLM.int8 (Dettmers et al. 2022), nf4 and fp4.

On CPUs with AVX512-BF16 its 4-bit layer repacks itself in its first forward in eval
mode: saved after that, it reloads to nonsense, and trained after that, it gives no
gradient. The repacking is switched off here, wherever such a layer is made or loaded.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from xturing.core.errors import QuantizationError
from xturing.core.extras import require
from xturing.quant.backend import Work, dense_again, layer_by_layer, missing
from xturing.quant.plan import Target
from xturing.quant.schemes import Scheme

OUTLIER = 6.0
"""Activations above this are multiplied in half precision (LLM.int8, section 3.2)."""

BLOCK = 64
"""Weights that share a scale in 4 bits. Its CPU kernels take the scale of another block
where blocks cross rows (seen in 0.50)."""


class BitsAndBytes:
    """Layers of bitsandbytes."""

    name = "bitsandbytes"

    def refusal(self, scheme: Scheme, device: torch.device) -> str | None:
        """Return why it cannot keep weights in a scheme on a device, if it cannot."""
        if scheme.name not in ("int8", "nf4", "fp4"):
            return "it has int8, nf4 and fp4 only"
        if device.type not in ("cpu", "cuda", "xpu", "hpu"):
            return f"it does not run on {device.type}"
        return missing("bitsandbytes", find_spec("bitsandbytes") is not None, self.name)

    def quantize(self, work: Work) -> nn.Module:
        """Return the model with layers of bitsandbytes."""
        return layer_by_layer(work, self.name, _made)

    def holds(self, module: nn.Module) -> bool:
        """Tell whether a module is a quantized layer of bitsandbytes."""
        is_own = type(module).__module__.startswith("bitsandbytes.")
        return is_own and isinstance(module, nn.Linear)

    def dequantize(self, module: nn.Module) -> nn.Module:
        """Return a linear layer with the dequantized weight."""
        return dense_again(module, _dense_weight(module))

    def tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """Return what bitsandbytes' own state dict has, beside the bias."""
        state = module.state_dict()
        return {name: value for name, value in state.items() if name != "bias"}

    def rebuild(
        self,
        target: Target,
        scheme: Scheme,
        group_size: int | None,
        tensors: Mapping[str, Tensor],
    ) -> nn.Module:
        """Return a layer of bitsandbytes from what `tensors` gave."""
        layer = _empty(cast(nn.Linear, target.module), scheme)
        nn_ = _library().nn
        codes = tensors["weight"]
        if scheme.bits == 8:
            layer.weight = nn_.Int8Params(
                codes, requires_grad=False, CB=codes, SCB=tensors["SCB"]
            )
            return layer
        statistics = {
            name.removeprefix("weight."): value
            for name, value in tensors.items()
            if name != "weight"
        }
        layer.weight = nn_.Params4bit.from_prequantized(
            codes, statistics, device=codes.device, module=layer
        )
        return layer


BACKEND = BitsAndBytes()


def keep_layout(model: nn.Module) -> None:
    """Keep the 4-bit layers of a model from repacking themselves on CPUs."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            vars(module)["support_avx512bf16_for_cpu"] = False


def refuse_misread(model: nn.Module) -> None:
    """Raise `QuantizationError` if layers of a loaded model would compute wrongly."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            layer: Any = module
            if layer.weight.is_cpu:
                _refuse_crossing(layer.in_features)


def _refuse_crossing(inputs: int) -> None:
    if inputs % BLOCK:
        raise QuantizationError(
            f"A layer has {inputs} inputs. On CPUs bitsandbytes multiplies 4-bit "
            f"weights wrongly where that is no multiple of {BLOCK}. Use the native "
            "backend."
        )


def _dense_weight(layer: Any) -> Tensor:
    if hasattr(layer, "state"):
        codes = layer.weight.data
        scale = layer.weight.SCB if layer.state.SCB is None else layer.state.SCB
        return codes.float() * (scale.float()[:, None] / 127)
    weight = layer.weight
    return _library().functional.dequantize_4bit(weight.data, weight.quant_state)


def _library() -> ModuleType:
    return require("bitsandbytes", package="xturing-quant", extra="bitsandbytes")


def _empty(layer: nn.Linear, scheme: Scheme) -> Any:
    nn_ = _library().nn
    size = layer.in_features, layer.out_features
    if scheme.bits == 8:
        made = nn_.Linear8bitLt(
            *size, bias=False, has_fp16_weights=False, threshold=OUTLIER, device="meta"
        )
    else:
        made = nn_.Linear4bit(
            *size,
            bias=False,
            compute_dtype=torch.float32,
            compress_statistics=False,
            quant_type=scheme.name,
            device="meta",
        )
    made.bias = layer.bias
    keep_layout(made)
    return made.train(layer.training)


def _made(dense_layer: nn.Linear, scheme: Scheme, group_size: int | None) -> nn.Module:
    if group_size is not None:
        raise QuantizationError(
            "bitsandbytes has group sizes of its own: leave group_size out."
        )
    weight = dense_layer.weight
    if scheme.bits == 4 and weight.is_cpu:
        _refuse_crossing(weight.shape[1])
    layer = _empty(dense_layer, scheme)
    made = type(layer.weight)(
        weight.detach().to("cpu"), requires_grad=False, **_options(layer, scheme)
    )
    layer.weight = made.to(weight.device)
    return layer


def _options(layer: Any, scheme: Scheme) -> dict[str, object]:
    if scheme.bits == 8:
        return {"has_fp16_weights": False}
    return {"compress_statistics": False, "quant_type": scheme.name, "module": layer}
