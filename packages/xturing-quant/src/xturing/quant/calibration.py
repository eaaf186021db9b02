"""Rounding that looks at what a layer is given: GPTQ (Frantar et al. 2022).

Columns are rounded one after the other, and what rounding one loses is made up for in
those that follow, as far as the layer's inputs make them alike (arXiv 2210.17323,
algorithm 1). The inputs are those of rows that users give.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xturing.core.errors import QuantizationError
from xturing.quant.rounding import fitted_scales, nearest, value_of
from xturing.quant.schemes import Scheme

Rows = Sequence[Tensor]
"""Inputs of the model, such as token ids of shape (batch, seq)."""

DAMPING = 0.01
BLOCK = 128
MEMORY = 2**29
"""Bytes that the inputs' second moments may take at once."""


def in_portions(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, nn.Module]]:
    """Yield the modules in groups whose second moments fit into memory together."""
    portion: dict[str, nn.Module] = {}
    size = 0
    for name, module in modules.items():
        own = 4 * _columns(module) ** 2
        if portion and size + own > MEMORY:
            yield portion
            portion, size = {}, 0
        portion[name] = module
        size += own
    if portion:
        yield portion


def second_moments(
    model: nn.Module, modules: Mapping[str, nn.Module], rows: Rows
) -> dict[str, Tensor]:
    """Return the sum of x x^T over all inputs x of each module, of shape (in, in).

    Raises:
        QuantizationError: the rows never reach a module.
    """
    moments: dict[str, Tensor] = {}
    with _watching(modules, moments), evaluating(model), torch.inference_mode():
        for row in rows:
            model(row)
    for name in modules:
        if name not in moments:
            raise QuantizationError(
                f"No input of the {len(rows)} calibration rows reached '{name}'. Give "
                "rows that use the whole model, or skip that layer."
            )
    return moments


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Have models in evaluation mode, and put each module's own mode back."""
    were = [(module, module.training) for model in models for module in model.modules()]
    for model in models:
        model.eval()
    try:
        yield
    finally:
        for module, was in were:
            module.training = was


def calibrated(
    weight: Tensor, scheme: Scheme, group_size: int, moment: Tensor
) -> tuple[Tensor, Tensor]:
    """Return codes and scales as `rounding.quantized` does, for inputs of that moment.

    `weight` has the shape (rows, columns) and `moment` (columns, columns).
    """
    left = weight.detach().float().clone()
    inverse = _inverse(moment.clone(), left)
    columns = left.shape[1]
    codes = torch.empty_like(left)
    scales: list[Tensor] = []
    for start in range(0, columns, BLOCK):
        stop = min(start + BLOCK, columns)
        errors = torch.zeros_like(left[:, start:stop])
        for column in range(start, stop):
            if column % group_size == 0:
                group = _ahead(left, errors, inverse, column, start, group_size)
                scales.append(fitted_scales(group, scheme))
            now = left[:, column]
            code = nearest(now[:, None], scales[-1], scheme)
            codes[:, column : column + 1] = code
            lost = now - value_of(code, scales[-1], scheme)[:, 0]
            error = lost / inverse[column, column]
            row = inverse[column, column + 1 : stop]
            left[:, column + 1 : stop].addr_(error, row, alpha=-1)
            errors[:, column - start] = error
        left[:, stop:].addmm_(errors, inverse[start:stop, stop:], alpha=-1)
    kind = torch.int8 if scheme.is_symmetric else torch.uint8
    return codes.to(kind), torch.stack(scales).bfloat16()


def loss(
    weight: Tensor, codes: Tensor, scales: Tensor, scheme: Scheme, moment: Tensor
) -> float:
    """Return the squared error of a layer's outputs for inputs of that moment."""
    groups = codes.float().unflatten(1, (scales.shape[0], -1))
    values = value_of(groups, scales.transpose(0, 1).float(), scheme).flatten(1)
    error = values - weight.detach().float()
    return float(((error @ moment) * error).sum())


def _ahead(
    left: Tensor, errors: Tensor, inverse: Tensor, column: int, start: int, size: int
) -> Tensor:
    """Return a group's weights as they are now, those beyond the block included."""
    stop = min(start + BLOCK, left.shape[1])
    group = left[:, column : column + size].clone()
    if column + size > stop:
        # These have not heard of the block's errors yet.
        part = inverse[start:column, stop : column + size]
        group[:, stop - column :].addmm_(errors[:, : column - start], part, alpha=-1)
    return group


def _inverse(moment: Tensor, weight: Tensor) -> Tensor:
    """Return the upper Cholesky factor of the damped moment's inverse."""
    diagonal = moment.diagonal()
    # Inputs that are always zero do not care what their weights are.
    diagonal[diagonal == 0] = 1
    damping = DAMPING * float(diagonal.mean())
    for _ in range(8):
        damped = moment + damping * torch.eye(len(moment), device=moment.device)
        factor, failed = torch.linalg.cholesky_ex(damped)
        if not failed:
            whole = torch.cholesky_inverse(factor)
            return torch.linalg.cholesky(whole, upper=True)
        damping *= 10
    raise QuantizationError(
        f"The inputs of a layer with {weight.shape[1]} inputs are not finite on the "
        "calibration rows. Give other rows, or check the model."
    )


def _columns(module: nn.Module) -> int:
    weight: Tensor = module.weight  # type: ignore[assignment]
    # Conv1D of transformers keeps its weight as (in, out).
    return weight.shape[0] if hasattr(module, "nf") else weight.shape[1]


@contextmanager
def _watching(
    modules: Mapping[str, nn.Module], moments: dict[str, Tensor]
) -> Iterator[None]:
    def watch(name: str) -> "torch.utils.hooks.RemovableHandle":
        def add(_module: nn.Module, inputs: Any, named: Any) -> None:
            (x, *_) = (*inputs, *named.values())
            flat = x.reshape(-1, x.shape[-1]).float()
            if name not in moments:
                moments[name] = flat.new_zeros(flat.shape[1], flat.shape[1])
            moments[name].addmm_(flat.T, flat)

        return modules[name].register_forward_pre_hook(add, with_kwargs=True)

    handles = [watch(name) for name in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
