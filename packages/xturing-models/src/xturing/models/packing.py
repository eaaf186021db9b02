"""Packed weights in transformers models: loaded tensor by tensor, and let go again.

The native backend plugs into transformers as the quantization method "xturing", so
weights are packed as they come from the file and a full-precision model is never in
memory. The other backends have methods of their own there. Importing this module is
what lets `from_pretrained` open a folder that the native backend wrote.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from transformers.core_model_loading import ConversionOps
from transformers.quantizers.auto import (
    AutoHfQuantizer,
    register_quantization_config,
    register_quantizer,
)
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from xturing.core.errors import QuantizationError
from xturing.models.quantization import METHOD, Quantization
from xturing.quant import quantize
from xturing.quant.backends.bitsandbytes import keep_layout, refuse_misread
from xturing.quant.backends.torchao import int8_config
from xturing.quant.calibration import Rows
from xturing.quant.choosing import Choice, choose
from xturing.quant.layers import packed_weights, prepare
from xturing.quant.packed import Packed
from xturing.quant.plan import Target, output_head, targets
from xturing.quant.quantizing import quantized_modules, refuse_broken
from xturing.quant.schemes import SKIP, Scheme, scheme_named

FORMAT = 1
_failures: ContextVar[list[QuantizationError]] = ContextVar("failures")
FUSED = ("native", "gptq")
"""Backends whose weights the native one keeps, the head's too."""


def settled(wanted: Quantization, device: str) -> Quantization:
    """Return it with a backend chosen for the device.

    Raises:
        UnknownNameError: there is no such scheme or backend.
        QuantizationError: no backend can do it there.
    """
    choice = chosen(wanted.scheme, wanted.backend, device)
    return replace(wanted, backend=choice.backend.name)


def chosen(scheme: str, backend: str, device: str) -> Choice:
    """Return the backend for a scheme on a device, and why it is taken.

    Raises:
        UnknownNameError: there is no such scheme or backend.
        QuantizationError: no backend can do it there.
    """
    return choose(backend, scheme_named(scheme), torch.device(device))


def loading_options(wanted: Quantization, device: str) -> dict[str, Any]:
    """Return what `from_pretrained` needs to quantize weights while it loads them.

    Raises:
        QuantizationError: the backend needs rows to calibrate on.
    """
    if wanted.backend == "native":
        config: Any = NativeConfig(wanted.scheme, wanted.group_size, list(wanted.skip))
        return {"quantization_config": config}
    if wanted.backend == "bitsandbytes":
        config = _bitsandbytes(wanted.scheme)
    elif wanted.backend == "torchao":
        config = _torchao()
    else:
        raise QuantizationError(
            f"The backend '{wanted.backend}' needs rows to calibrate on. Make a folder "
            "with `xturing quantize --calibrate ROWS`, and open that."
        )
    return {"quantization_config": config, "device_map": {"": device}}


def reopening_options(there: Quantization, device: str) -> dict[str, Any]:
    """Return what `from_pretrained` needs to load weights that are quantized."""
    return {} if there.backend == "native" else {"device_map": {"": device}}


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

    def to_dict(self) -> dict[str, Any]:
        """Return what config.json says."""
        return {
            "quant_method": METHOD,
            "format": self.format,
            "scheme": self.scheme,
            "group_size": self.group_size,
            "skip": list(self.skip),
        }


class NativeQuantizer(HfQuantizer):
    """Packs weights while transformers loads them, or loads packed ones."""

    def __init__(self, quantization_config: NativeConfig, **options: Any) -> None:
        super().__init__(quantization_config, **options)
        self._config = quantization_config
        self._scheme: Scheme = scheme_named(quantization_config.scheme)
        self._plan: dict[str, Target] = {}

    def _process_model_before_weight_loading(self, model: Any, **_: object) -> None:
        tied = getattr(model, "all_tied_weights_keys", {})
        for target in targets(model, self._config.skip):
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
        return self.packs(param_name)

    def packs(self, name: str) -> bool:
        """Tell whether a weight of the file is to be packed."""
        return not self.pre_quantized and name in self._plan

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
        elif "head" not in self._config.skip:
            self._pack_tied_head(model)
        _one_expert_at_a_time(model)
        return model

    def _pack_tied_head(self, model: Any) -> None:
        head = output_head(model)
        if head is None or packed_weights(head):
            return
        for target in targets(model, self._config.skip):
            if target.module is head:
                weight = target.weight
                self._prepare(target).fill(weight)
                _untie(model)

    def _prepare(self, target: Target) -> Packed:
        scheme = target.scheme(self._scheme)
        size = self._config.group_size if scheme is self._scheme else None
        # transformers gives modules without their weights random ones otherwise.
        vars(target.module)["_is_hf_initialized"] = True
        return prepare(target.module, target.parameter, scheme, size)

    def is_serializable(self) -> bool:  # type: ignore[override]  # it is untyped
        """Return True: packed weights are ordinary buffers."""
        return True

    @property
    def is_trainable(self) -> bool:  # type: ignore[override]  # it is untyped
        """Whether adapters can be trained on top."""
        return True


register_quantization_config(METHOD)(NativeConfig)
register_quantizer(METHOD)(NativeQuantizer)


class _Pack(ConversionOps):
    def __init__(self, quantizer: NativeQuantizer) -> None:
        self._quantizer = quantizer

    def convert(  # type: ignore[override]  # all are passed by name
        self, input_dict: dict[str, Any], missing_keys: Any = None, **_: object
    ) -> dict[str, Any]:
        """Pack the weights that are to be packed, and return the others."""
        others = {}
        for name, value in input_dict.items():
            weight = value[0] if isinstance(value, list) else value
            if self._quantizer.packs(name):
                try:
                    self._quantizer.pack(name, weight)
                except QuantizationError as error:
                    _failures.get([]).append(error)
                    raise
                if missing_keys is not None:
                    missing_keys.discard(name)
            else:
                others[name] = value
        return others


def kept(wanted: Quantization) -> Quantization:
    """Return it as files have it: gptq's weights are kept by the native backend."""
    return replace(wanted, backend="native") if wanted.backend in FUSED else wanted


def quantized(model: Any, wanted: Quantization, rows: Rows | None = None) -> Any:
    """Return a transformers model like a dense one, quantized, ready to be saved.

    Raises:
        QuantizationError: it cannot be done so.
    """
    # The methods of transformers for the other backends leave the head alone.
    skip = wanted.skip if wanted.backend in FUSED else (*wanted.skip, "head")
    made = quantize(
        model,
        wanted.scheme,
        wanted.backend,
        group_size=wanted.group_size,
        skip=skip,
        calibration=rows,
    )
    config = loading_options(kept(wanted), model.device.type)["quantization_config"]
    made.hf_quantizer = AutoHfQuantizer.from_config(config, pre_quantized=True)
    made.config.quantization_config = config
    made.is_quantized = True
    made.quantization_method = config.quant_method
    if wanted.backend in FUSED:
        _untie(made)
    _one_expert_at_a_time(made)
    finish(made)
    return made


@contextmanager
def failing_with_reasons() -> Iterator[None]:
    """Raise what went wrong in packing; transformers says only that something did."""
    found: list[QuantizationError] = []
    token = _failures.set(found)
    try:
        yield
    except RuntimeError as error:
        if found:
            raise found[0] from error
        raise
    finally:
        _failures.reset(token)


def finish(model: Any) -> None:
    """Mend what other libraries do to a quantized model that was just loaded.

    Raises:
        QuantizationError: a library would compute wrongly with it.
    """
    keep_layout(model)
    refuse_misread(model)


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


def _untie(model: Any) -> None:
    """Have a packed head saved beside the embeddings that it was tied to."""
    head = output_head(model)
    if head is not None and packed_weights(head):
        model.config.get_text_config().tie_word_embeddings = False
        model.config.tie_word_embeddings = False
        model.all_tied_weights_keys = {}


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

    return TorchAoConfig(quant_type=int8_config())
