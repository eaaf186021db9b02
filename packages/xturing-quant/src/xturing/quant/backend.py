"""What a quantization backend is, and which there are."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from xturing.core.errors import MissingDependencyError
from xturing.core.registry import Registry
from xturing.quant.plan import Target
from xturing.quant.schemes import Scheme

PACKAGE = "xturing-quant"


class Backend(Protocol):
    """A way to keep quantized weights and to multiply with them."""

    name: str

    def refusal(self, scheme: Scheme, device: torch.device) -> str | None:
        """Return why it cannot keep weights in a scheme on a device, if it cannot."""
        ...

    def quantize(
        self, target: Target, scheme: Scheme, group_size: int | None
    ) -> nn.Module:
        """Return the module that takes a target's place; it may be the same one.

        Raises:
            QuantizationError: this weight is of a kind that the backend cannot keep.
        """
        ...

    def holds(self, module: nn.Module) -> bool:
        """Tell whether a module is one of its own."""
        ...

    def dequantize(self, module: nn.Module) -> nn.Module:
        """Return the dense module in place of one of its own."""
        ...

    def tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """Return what has to be kept of the quantized weights of one of its own."""
        ...

    def rebuild(
        self,
        target: Target,
        scheme: Scheme,
        group_size: int | None,
        tensors: Mapping[str, Tensor],
    ) -> nn.Module:
        """Return the module that `tensors` came from, in place of a dense one."""
        ...


BACKENDS: Registry[Backend] = Registry(
    "quantization backend",
    "xturing.quant_backends",
    {
        name: f"xturing.quant.backends.{name}:BACKEND"
        for name in ("native", "bitsandbytes", "torchao", "gptq")
    },
)


def dense(module: nn.Linear, weight: Tensor) -> nn.Linear:
    """Return a linear layer of that weight, with the bias of another."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    made.weight = nn.Parameter(weight)
    made.bias = module.bias
    return made.train(module.training)


def missing(library: str, found: bool, extra: str) -> str | None:
    """Return the refusal of a backend whose library is not installed."""
    if found:
        return None
    return f'{library} is not installed (pip install "{PACKAGE}[{extra}]")'


def holder(module: nn.Module, backends: Sequence[str]) -> Backend | None:
    """Return the backend that a module belongs to."""
    for name in backends:
        try:
            backend = BACKENDS[name]
        except MissingDependencyError:
            continue
        if backend.holds(module):
            return backend
    return None
