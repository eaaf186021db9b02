"""What a quantization backend is, and which there are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from xturing.core.errors import MissingDependencyError, QuantizationError
from xturing.core.registry import Registry
from xturing.quant.calibration import Rows
from xturing.quant.plan import Target
from xturing.quant.schemes import Scheme

PACKAGE = "xturing-quant"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a backend is to quantize."""

    model: nn.Module
    """To be changed in place."""
    targets: Sequence[Target]
    scheme: Scheme
    group_size: int | None
    """As users asked for it; None: the scheme's own."""
    rows: Rows | None
    """Inputs to calibrate on."""

    def fitting(self, target: Target) -> tuple[Scheme, int | None]:
        """Return the scheme and group size for a target."""
        scheme = target.scheme(self.scheme)
        return scheme, self.group_size if scheme is self.scheme else None


@dataclass(frozen=True)
class Origin:
    """What a layer of another library was made from; kept on it as `xturing_origin`."""

    scheme: str
    group_size: int | None
    dtype: torch.dtype


ORIGIN = "xturing_origin"


class Backend(Protocol):
    """A way to keep quantized weights and to multiply with them."""

    name: str

    def refusal(self, scheme: Scheme, device: torch.device) -> str | None:
        """Return why it cannot keep weights in a scheme on a device, if it cannot."""
        ...

    def quantize(self, work: Work) -> nn.Module:
        """Return the model with its targets quantized.

        Raises:
            QuantizationError: a weight is of a kind that the backend cannot keep, or it
                needs rows to calibrate on, or can do nothing with them.
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


def layer_by_layer(
    work: Work, name: str, make: Callable[[nn.Linear, Scheme, int | None], nn.Module]
) -> nn.Module:
    """Return the work's model with `make`'s layers, for a backend of that name.

    Raises:
        QuantizationError: a target is no plain linear layer, or there are rows.
    """
    if work.rows is not None:
        raise QuantizationError(
            f"The backend '{name}' cannot calibrate. Use native or gptq for that, "
            "or leave the calibration rows out."
        )
    model = work.model
    for target in work.targets:
        if not isinstance(target.module, nn.Linear):
            raise QuantizationError(
                f"'{target.name}' is a {type(target.module).__name__}, and {name} "
                "keeps plain linear layers only. Use the native backend, or skip it."
            )
        scheme, size = work.fitting(target)
        origin = Origin(scheme.name, size, target.weight.dtype)
        made = make(target.module, scheme, size)
        setattr(made, ORIGIN, origin)
        model = replaced(model, target.name, made)
    return model


def replaced(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """Return the model with a module in the place of that name, and in its others."""
    if not name:
        return module
    old = model.get_submodule(name)
    places = list(model.named_modules(remove_duplicate=False))
    for place in [place for place, there in places if there is old]:
        model.set_submodule(place, module)
    return model


def dense(module: nn.Linear, weight: Tensor) -> nn.Linear:
    """Return a linear layer of that weight, with the bias of another."""
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    made.weight = nn.Parameter(weight)
    made.bias = module.bias
    return made.train(module.training)


def origin_of(layer: nn.Module) -> Origin | None:
    """Return what a layer was made from, if it was made here."""
    return getattr(layer, ORIGIN, None)


def dense_again(layer: nn.Module, weight: Tensor) -> nn.Linear:
    """Return the linear layer that another library's was made from."""
    origin = origin_of(layer)
    dtype = torch.float32 if origin is None else origin.dtype
    return dense(cast(nn.Linear, layer), weight.to(dtype))


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
