"""Quantized weights in transformers models: loaded tensor by tensor, and let go again.

The native backend plugs into transformers as the quantization method "xturing", so
weights are packed as they come from the file and a full-precision model is never in
memory. The other backends have methods of their own there. Importing this module is
what lets `from_pretrained` open a folder that the native backend wrote.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from transformers.core_model_loading import ConversionOps
from transformers.quantizers.auto import (
    register_quantization_config,
    register_quantizer,
)
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from xturing.core.errors import ModelError, QuantizationError
from xturing.quant.backends.bitsandbytes import keep_layout
from xturing.quant.choosing import choose
from xturing.quant.layers import packed_weights, prepare
from xturing.quant.plan import SKIP, Target, output_head, targets
from xturing.quant.quantizing import quantized_modules, refuse_broken
from xturing.quant.schemes import Scheme, scheme_named

METHOD = "xturing"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How a model's weights are to be quantized while they are loaded."""

    scheme: str
    backend: str = "auto"
    group_size: int | None = None
    skip: tuple[str, ...] = SKIP

    @classmethod
    def from_card(cls, values: Mapping[str, Any]) -> "Quantization":
        """Return what `to_card` wrote."""
        known = {name: values[name] for name in ("scheme", "backend", "group_size")}
        return cls(**known, skip=tuple(values["skip"]))

    def to_card(self) -> dict[str, Any]:
        """Return it as a saved model's `xturing.json` has it."""
        return {**asdict(self), "skip": list(self.skip)}

    def settled(self, device: torch.device) -> "Quantization":
        """Return it with a backend chosen for the device.

        Raises:
            QuantizationError: no backend can do it there.
        """
        choice = choose(self.backend, scheme_named(self.scheme), device)
        return Quantization(**{**asdict(self), "backend": choice.backend.name})

    def loading_options(self, device: str) -> dict[str, Any]:
        """Return what `from_pretrained` needs to load weights so.

        Raises:
            QuantizationError: the backend needs calibration.
        """
        if self.backend == "native":
            config = NativeConfig(self.scheme, self.group_size, list(self.skip))
            return {"quantization_config": config}
        if self.backend == "bitsandbytes":
            return {
                "quantization_config": _bitsandbytes(self.scheme),
                "device_map": {"": device},
            }
        if self.backend == "torchao":
            return {"quantization_config": _torchao(), "device_map": {"": device}}
        raise QuantizationError(
            f"The backend '{self.backend}' needs rows to calibrate on: make a folder "
            "with `xturing quantize --calibrate`, and open that."
        )


@register_quantization_config(METHOD)
class NativeConfig(QuantizationConfigMixin):
    """What a folder's config.json says of weights that the native backend packed."""

    def __init__(
        self,
        scheme: str,
        group_size: int | None = None,
        skip: list[str] | None = None,
        format: int = FORMAT,  # noqa: A002  # its name in config.json
        **_: object,
    ) -> None:
        super().__init__(quant_method=METHOD)  # type: ignore[arg-type]
        if format > FORMAT:
            raise QuantizationError(
                f"The weights are packed in format {format}; this version of xTuring "
                f"({version('xturing-models')}) reads up to {FORMAT}. Upgrade it."
            )
        self.scheme = scheme
        self.group_size = group_size
        self.skip = list(SKIP) if skip is None else skip
        self.format = format


@register_quantizer(METHOD)
class NativeQuantizer(HfQuantizer):
    """Packs weights while transformers loads them, or loads packed ones."""

    quantization_config: NativeConfig

    def __init__(self, quantization_config: NativeConfig, **options: Any) -> None:
        super().__init__(quantization_config, **options)
        self._scheme: Scheme = scheme_named(quantization_config.scheme)
        self._plan: dict[str, Target] = {}

    def _process_model_before_weight_loading(self, model: Any, **_: object) -> None:
        tied = getattr(model, "all_tied_weights_keys", {})
        for target in targets(model, self.quantization_config.skip):
            name = f"{target.name}.{target.parameter}"
            # A tied head has no weight in the file: it is packed when it has one.
            if name not in tied:
                self._plan[name] = target
        if self.pre_quantized:
            for target in self._plan.values():
                self._prepare(target)

    def param_needs_quantization(
        self, model: Any, param_name: str, **_: object
    ) -> bool:
        """Tell whether a weight of the file is to be packed."""
        return not self.pre_quantized and param_name in self._plan

    def get_quantize_ops(self) -> ConversionOps:
        """Return the operation that packs a weight."""
        return _Pack(self)

    def pack(self, name: str, weight: Tensor) -> None:
        """Take a weight into the model."""
        target = self._plan[name]
        refuse_broken(weight, name)
        self._prepare(target).fill(weight)

    def _process_model_after_weight_loading(self, model: Any, **_: object) -> Any:
        if self.pre_quantized:
            for module in model.modules():
                for packed in packed_weights(module).values():
                    packed.settle()
        elif "head" not in self.quantization_config.skip:
            self._pack_tied_head(model)
        _one_expert_at_a_time(model)
        return model

    def _pack_tied_head(self, model: Any) -> None:
        head = output_head(model)
        if head is None or packed_weights(head):
            return
        for target in targets(model, self.quantization_config.skip):
            if target.module is head:
                weight = target.weight
                self._prepare(target).fill(weight)
                model.config.get_text_config().tie_word_embeddings = False
                model.config.tie_word_embeddings = False
                model.all_tied_weights_keys = {}

    def _prepare(self, target: Target) -> Any:
        scheme = target.scheme(self._scheme)
        size = self.quantization_config.group_size if scheme is self._scheme else None
        return prepare(target.module, target.parameter, scheme, size)

    def is_serializable(self) -> bool:
        """Return True: packed weights are ordinary buffers."""
        return True

    @property
    def is_trainable(self) -> bool:
        """Whether adapters can be trained on top."""
        return True


class _Pack(ConversionOps):
    def __init__(self, quantizer: NativeQuantizer) -> None:
        self._quantizer = quantizer

    def convert(
        self, input_dict: dict[str, Any], missing_keys: Any = None, **_: object
    ) -> dict[str, Any]:
        """Pack the weights that are to be packed, and return the others."""
        others = {}
        for name, value in input_dict.items():
            weight = value[0] if isinstance(value, list) else value
            if self._quantizer.param_needs_quantization(None, name):
                self._quantizer.pack(name, weight)
                if missing_keys is not None:
                    missing_keys.discard(name)
            else:
                others[name] = value
        return others


def finish(model: Any) -> None:
    """Mend what other libraries do to a quantized model that was just loaded."""
    keep_layout(model)


def is_quantized(model: Any) -> bool:
    """Tell whether a model has quantized weights."""
    return bool(getattr(model, "is_quantized", False))


def dequantized(model: Any) -> Any:
    """Return a transformers model with dense weights, changed in place."""
    for name, (backend, module) in quantized_modules(model).items():
        model.set_submodule(name, backend.dequantize(module))
    model.hf_quantizer = None
    marks = "is_quantized", "quantization_method", "is_loaded_in_4bit"
    for mark in (*marks, "is_loaded_in_8bit"):
        vars(model).pop(mark, None)
    for config in (model.config, model.config.get_text_config()):
        vars(config).pop("quantization_config", None)
    for module in model.modules():
        inner = getattr(module, "config", None)
        if inner is not None:
            vars(inner).pop("_is_quantized", None)
    return model


def refuse_requantizing(config: Mapping[str, Any], wanted: Quantization) -> None:
    """Raise `ModelError` if weights are quantized otherwise than they should be."""
    there = config.get("quantization_config")
    if there is None:
        return
    method = there.get("quant_method", "another method")
    scheme = there.get("scheme")
    if method == METHOD and scheme == wanted.scheme:
        return
    what = f"{scheme} by xTuring" if method == METHOD else f"by {method}"
    raise ModelError(
        f"The weights are quantized already ({what}), and {wanted.scheme} is wanted. "
        "Open them by 'generic' or 'generic_lora', or start from the original weights."
    )


def _one_expert_at_a_time(model: Any) -> None:
    """Have experts multiplied one by one, so that no more is ever dequantized."""
    if any(
        packed_weights(module) and not hasattr(module, "in_features")
        for module in model.modules()
    ):
        setter = getattr(model, "set_experts_implementation", None)
        if setter is not None:
            setter("eager")


def _bitsandbytes(scheme: str) -> Any:
    from transformers import BitsAndBytesConfig

    if scheme == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=scheme,
        bnb_4bit_compute_dtype=torch.float32,
    )


def _torchao() -> Any:
    from transformers import TorchAoConfig

    from xturing.core.extras import require

    library = require("torchao.quantization", package="xturing-quant", extra="torchao")
    return TorchAoConfig(quant_type=library.Int8WeightOnlyConfig())
