"""Modules whose weights are packed, made by adding to their class.

A layer keeps its class as a base, so that whoever looks for linear layers finds them,
and gets it back when it is dequantized. The packed weight is a child module beside the
name that the weight had: `q_proj.weight` is kept in `q_proj.packed_weight`.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xturing.quant.packed import Packed
from xturing.quant.schemes import Scheme

PREFIX = "packed_"


class Quantized(nn.Module):
    """A module with packed weights; never made as such, only mixed into a class."""

    packed_names: tuple[str, ...] = ()


def is_transposed_linear(module: nn.Module) -> bool:
    """Tell whether a module is transformers' Conv1D, a linear layer in other order."""
    return any(kind.__name__ == "Conv1D" for kind in type(module).__mro__) and (
        getattr(module, "nf", None) is not None
    )


def is_linear(module: nn.Module) -> bool:
    """Tell whether a module multiplies with its weight and adds its bias."""
    return isinstance(module, nn.Linear) or is_transposed_linear(module)


def packed_weights(module: nn.Module) -> dict[str, Packed]:
    """Return a module's own packed weights by the names of its parameters."""
    if not isinstance(module, Quantized):
        return {}
    return {name: _child(module, name) for name in module.packed_names}


def prepare(
    module: nn.Module, name: str, scheme: Scheme, group_size: int | None = None
) -> Packed:
    """Put an empty packed weight in place of a parameter, and return it."""
    weight: Tensor = getattr(module, name)
    packed = Packed(
        scheme,
        tuple(weight.shape),
        group_size,
        is_transposed=is_transposed_linear(module),
    )
    del module._parameters[name]  # noqa: SLF001
    names = name, *packed_weights(module)
    original = _original(type(module))
    module.__class__ = _with_packed(original, tuple(sorted(names)))
    module.add_module(PREFIX + name, packed)
    return packed


def restore(module: nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Give a module its class and dense parameters back."""
    weights = packed_weights(module)
    module.__class__ = _original(type(module))
    for name, packed in weights.items():
        del module._modules[PREFIX + name]  # noqa: SLF001
        dense = packed.dequantize(dtype).contiguous()
        module.register_parameter(name, nn.Parameter(dense))


class Slices:
    """A packed weight that is used part by part, as experts' and embeddings' are."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed

    def __getitem__(self, index: Any) -> Any:
        is_number = isinstance(index, int) or (
            isinstance(index, Tensor) and index.ndim == 0 and index.dtype != torch.bool
        )
        if is_number:
            return Slice(self._packed, int(index))
        return self._packed.dequantize()[index]

    def __getattr__(self, name: str) -> Any:
        if name == "dtype":
            return torch.float32
        return getattr(self._packed.dequantize(), name)

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is functional.embedding and isinstance(args[1], Slices):
            return args[1]._packed.lookup(args[0])
        return _dense_call(function, args, kwargs)


class Slice:
    """One matrix of a packed weight; products with it never keep it dequantized."""

    def __init__(self, packed: Packed, number: int) -> None:
        self._packed = packed
        self._number = number

    def dequantize(self) -> Tensor:
        """Return the matrix."""
        return self._packed.slice(self._number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dequantize(), name)

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        x, matrix, *others = args
        if isinstance(matrix, Slice) and isinstance(x, Tensor):
            multiply = matrix._packed.slice_product
            if function is functional.linear:
                bias = (*others, *(kwargs or {}).values(), None)[0]
                y = multiply(x, matrix._number, is_transposed=False)
                return y if bias is None else y + bias
            if function in (Tensor.matmul, Tensor.__matmul__, torch.matmul):
                return multiply(x, matrix._number, is_transposed=True)
        return _dense_call(function, args, kwargs)


def _dense_call(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    dense = {name: _dense(value) for name, value in (kwargs or {}).items()}
    return function(*map(_dense, args), **dense)


def _dense(value: Any) -> Any:
    if isinstance(value, Slice):
        return value.dequantize()
    return value._packed.dequantize() if isinstance(value, Slices) else value  # noqa: SLF001


def _child(module: nn.Module, name: str) -> Packed:
    return module._modules[PREFIX + name]  # type: ignore[return-value]  # noqa: SLF001


def _original(kind: type[nn.Module]) -> type[nn.Module]:
    return kind.__mro__[2] if issubclass(kind, Quantized) else kind


def _dense_weight(module: nn.Module) -> Tensor:
    return _child(module, "weight").dequantize()


def _linear_forward(module: nn.Module, x: Tensor) -> Tensor:
    y = _child(module, "weight").product(x)
    bias = module.bias
    return y if bias is None else y + bias  # type: ignore[operator]


@cache
def _with_packed(original: type[nn.Module], names: tuple[str, ...]) -> type[nn.Module]:
    """Return a subclass that finds the named weights in its packed children."""
    linear = issubclass(original, nn.Linear) or original.__name__ == "Conv1D"
    members: dict[str, Any] = {"packed_names": names, "__module__": __name__}
    if linear:
        members |= {"weight": property(_dense_weight), "forward": _linear_forward}
    else:
        members |= {name: property(_slices(name)) for name in names}
    # Beside `Quantized` the class keeps all of its own bases.
    return type(f"Quantized{original.__name__}", (Quantized, original), members)


def _slices(name: str) -> Callable[[nn.Module], Slices]:
    return lambda module: Slices(_child(module, name))
