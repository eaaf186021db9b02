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

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Its class is made while the program runs, so pickle cannot find it by name.
        return _bare, (_original(type(self)), self.packed_names), self.__dict__


def is_transposed_linear(module: nn.Module) -> bool:
    """Tell whether a module is transformers' Conv1D, a linear layer in other order."""
    return _is_conv1d(type(module)) and hasattr(module, "nf")


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
        dtype=weight.dtype,
    )
    del module._parameters[name]  # noqa: SLF001
    names = name, *packed_weights(module)
    original = _original(type(module))
    module.__class__ = _with_packed(original, tuple(sorted(names)))
    module.add_module(PREFIX + name, packed)
    return packed


def restore(module: nn.Module) -> None:
    """Give a module its class and dense parameters back."""
    weights = packed_weights(module)
    module.__class__ = _original(type(module))
    for name, packed in weights.items():
        del module._modules[PREFIX + name]  # noqa: SLF001
        dense = packed.dequantize().contiguous()
        module.register_parameter(name, nn.Parameter(dense))


class Slices:
    """A packed weight that is used part by part, as experts' and embeddings' are."""

    def __init__(self, packed: Packed) -> None:
        self.packed = packed

    def __getitem__(self, index: Any) -> Any:
        is_number = isinstance(index, int) or (
            isinstance(index, Tensor) and index.ndim == 0 and index.dtype != torch.bool
        )
        if is_number:
            return Slice(self.packed, int(index))
        return self.packed.dequantize()[index]

    def __getattr__(self, name: str) -> Any:
        if name in ("dtype", "shape"):
            return getattr(self.packed, name)
        return getattr(self.packed.dequantize(), name)

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> Any:
        if function is functional.embedding and isinstance(args[1], Slices):
            return args[1].packed.lookup(args[0])
        return _dense_call(function, args, kwargs)


class Slice:
    """One matrix of a packed weight; products with it never keep it dequantized."""

    def __init__(self, packed: Packed, number: int) -> None:
        self.packed = packed
        self.number = number

    def dequantize(self) -> Tensor:
        """Return the matrix."""
        return self.packed.slice(self.number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dequantize(), name)

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> Any:
        x, matrix, *others = (*args, None, None)
        if isinstance(matrix, Slice) and isinstance(x, Tensor):
            multiply = matrix.packed.slice_product
            if function is functional.linear:
                bias = (kwargs or {}).get("bias", others[0])
                y = multiply(x, matrix.number, is_transposed=False)
                return y if bias is None else y + bias
            if function in (Tensor.matmul, Tensor.__matmul__, torch.matmul):
                return multiply(x, matrix.number, is_transposed=True)
        return _dense_call(function, args, kwargs)


def _dense_call(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    dense = {name: _dense(value) for name, value in (kwargs or {}).items()}
    return function(*map(_dense, args), **dense)


def _dense(value: Any) -> Any:
    if isinstance(value, Slice):
        return value.dequantize()
    return value.packed.dequantize() if isinstance(value, Slices) else value


def _child(module: nn.Module, name: str) -> Packed:
    return module._modules[PREFIX + name]  # type: ignore[return-value]  # noqa: SLF001


def _is_conv1d(kind: type[nn.Module]) -> bool:
    return any(base.__name__ == "Conv1D" for base in kind.__mro__)


def _bare(original: type[nn.Module], names: tuple[str, ...]) -> nn.Module:
    kind = _with_packed(original, names)
    return kind.__new__(kind)


def _original(kind: type[nn.Module]) -> type[nn.Module]:
    return kind.__mro__[2] if issubclass(kind, Quantized) else kind


def _dense_weight(module: nn.Module) -> Tensor:
    return _child(module, "weight").dequantize()


def _linear_forward(module: nn.Module, x: Tensor) -> Tensor:
    y = module._modules["packed_weight"].product(x)  # type: ignore[union-attr]  # noqa: SLF001
    bias = module._parameters["bias"]  # noqa: SLF001
    return y if bias is None else y + bias


@cache
def _with_packed(original: type[nn.Module], names: tuple[str, ...]) -> type[nn.Module]:
    """Return a subclass that finds the named weights in its packed children."""
    members: dict[str, Any] = {"packed_names": names, "__module__": __name__}
    if issubclass(original, nn.Linear) or _is_conv1d(original):
        members["weight"] = property(_dense_weight)
        # One that does more than a linear layer goes on doing so.
        if original.forward is nn.Linear.forward or original.__name__ == "Conv1D":
            members["forward"] = _linear_forward
    else:
        members |= {name: property(_slices(name)) for name in names}
    # Beside `Quantized` the class keeps all of its own bases.
    return type(f"Quantized{original.__name__}", (Quantized, original), members)


def _slices(name: str) -> Callable[[nn.Module], Slices]:
    return lambda module: Slices(_child(module, name))
