"""A model with quantized weights from a dense one, and the way back."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from xturing.core.errors import QuantizationError
from xturing.quant.backend import BACKENDS, Backend, Work, holder, replaced
from xturing.quant.calibration import Rows
from xturing.quant.choosing import choose
from xturing.quant.plan import Target, refuse_quantized, targets
from xturing.quant.schemes import SKIP, scheme_named

RECIPE = "xturing_quantization"
Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model was quantized; kept on it as the attribute `xturing_quantization`."""

    scheme: str
    backend: str
    reason: str
    """Why this backend."""
    group_size: int | None
    """As it was asked for; None: the scheme's own."""
    skip: tuple[str, ...]


def quantize(
    model: Model,
    scheme: str,
    backend: str = "auto",
    *,
    group_size: int | None = None,
    skip: Sequence[str] = SKIP,
    calibration: Rows | None = None,
) -> Model:
    """Return a model like the given one, its weights quantized.

    The given model stays as it is, and the two share what is not quantized. `skip` has
    the kinds "embeddings" and "head", and patterns of module names such as "*.0.*"; the
    head and embeddings get at least eight bits. `group_size` weights share a scale;
    where that divides no row, the largest divisor below it is taken. `calibration` has
    inputs of the model, such as token ids of shape (batch, seq): then weights are
    rounded so that the outputs on these change least.

    Raises:
        UnknownNameError: there is no such scheme or backend.
        QuantizationError: the backend cannot do it on this device, the model is
            quantized already, has nothing to quantize, or has weights that are no
            numbers.
    """
    wanted = scheme_named(scheme)
    if group_size is not None and group_size < 1:
        raise QuantizationError(
            f"group_size is {group_size}; it is 1 or more, or None."
        )
    refuse_quantized(model)
    chosen = targets(model, skip)
    for target in chosen:
        refuse_broken(target.weight, f"{target.name}.{target.parameter}")
    device = chosen[0].weight.device
    is_plain = group_size is None and calibration is None
    is_plain &= all(isinstance(target.module, nn.Linear) for target in chosen)
    choice = choose(backend, wanted, device, is_plain=is_plain)
    made = shell(model)
    work = Work(
        model=made,
        targets=targets(made, skip),
        scheme=wanted,
        group_size=group_size,
        rows=calibration,
    )
    made = cast(Model, choice.backend.quantize(work))
    recipe = Recipe(
        scheme=scheme,
        backend=choice.backend.name,
        reason=choice.reason,
        group_size=group_size,
        skip=tuple(skip),
    )
    setattr(made, RECIPE, recipe)
    return made


def dequantize(model: Model) -> Model:
    """Return a model like the given one, its weights dense again.

    Raises:
        QuantizationError: the model is not quantized.
    """
    made = shell(model)
    held = quantized_modules(made)
    if not held:
        raise QuantizationError(
            f"{type(model).__name__} has no quantized weights to dequantize."
        )
    for name, (backend, module) in held.items():
        made = cast(Model, replaced(made, name, backend.dequantize(module)))
    vars(made).pop(RECIPE, None)
    return made


def quantized_modules(model: nn.Module) -> dict[str, tuple[Backend, nn.Module]]:
    """Return the quantized modules of a model by name, each with its backend."""
    found: dict[str, tuple[Backend, nn.Module]] = {}
    backends = list(BACKENDS)
    for name, module in model.named_modules():
        backend = holder(module, backends)
        if backend is not None:
            found[name] = backend, module
    return found


def recipe_of(model: nn.Module) -> Recipe:
    """Return how a model was quantized.

    Raises:
        QuantizationError: `quantize` did not make it.
    """
    recipe = getattr(model, RECIPE, None)
    if not isinstance(recipe, Recipe):
        raise QuantizationError(
            f"{type(model).__name__} was not made by xturing.quant.quantize, so there "
            "is no saying how its weights are kept."
        )
    return recipe


def shell(model: Model) -> Model:
    """Return a copy of a model that shares the memory of its parameters and buffers."""
    memory = {id(buffer): buffer for buffer in model.buffers()}
    for parameter in model.parameters():
        # A cast of the copy changes its parameters in place, so they are not the same.
        is_plain = type(parameter) is nn.Parameter
        memory[id(parameter)] = (
            nn.Parameter(parameter.detach(), parameter.requires_grad)
            if is_plain
            else parameter
        )
    return copy.deepcopy(model, memory)


def refuse_broken(weight: Tensor, name: str) -> None:
    """Raise `QuantizationError` if a weight is not here, or is no weight to round."""
    if weight.device.type == "meta":
        raise QuantizationError(f"'{name}' has no values (it is on the meta device).")
    if not weight.is_floating_point():
        raise QuantizationError(f"'{name}' is {weight.dtype}; weights are floats.")
    finite = torch.isfinite(weight.detach())
    if not finite.all():
        raise QuantizationError(
            f"'{name}' has {int((~finite).sum())} weights that are NaN or infinite, so "
            "the model is broken. Take the checkpoint before its training went wrong."
        )


def targets_by_name(model: nn.Module) -> dict[tuple[str, str], Target]:
    """Return every weight that could be quantized, by module name and parameter."""
    return {(target.name, target.parameter): target for target in targets(model, ())}
