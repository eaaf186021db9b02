"""Which code each weight gets: the values that lose least.

Scales are kept as bfloat16, two bytes for a group, and codes are chosen with the scale
as it is kept, so nothing is lost twice.
"""

import torch
from torch import Tensor

from xturing.quant.schemes import Scheme

TILE = 2**18
"""Weights that are rounded at once; small enough for a cache."""
SMALLEST = 2.0**-120


def fitted_group(columns: int, wanted: int | None) -> int:
    """Return the group size for rows of that many weights.

    The largest divisor up to the one that is wanted; the whole row where only tiny
    groups would divide it.
    """
    if wanted is None or wanted >= columns:
        return columns
    divisor = next(size for size in range(wanted, 0, -1) if columns % size == 0)
    return divisor if divisor >= min(8, wanted) else columns


def quantized(weight: Tensor, scheme: Scheme, group_size: int) -> tuple[Tensor, Tensor]:
    """Return the codes and scales of a weight of shape (rows, columns).

    The codes have its shape; they are int8 where the scheme is symmetric and uint8
    otherwise. The scales have the shape (groups, rows, 1), or with a zero beside each
    scale (groups, rows, 2).
    """
    step = max(1, TILE // weight.shape[1])
    parts = [
        _tile(weight[start : start + step].float(), scheme, group_size)
        for start in range(0, weight.shape[0], step)
    ]
    codes, scales = zip(*parts, strict=True)
    return torch.cat(codes), torch.cat(scales, 1)


def _tile(weight: Tensor, scheme: Scheme, group_size: int) -> tuple[Tensor, Tensor]:
    groups = weight.unflatten(1, (-1, group_size))
    if scheme.levels is not None:
        codes, scales = _by_levels(groups, scheme.levels)
    elif scheme.is_symmetric:
        codes, scales = _symmetric(groups, scheme.bits)
    else:
        codes, scales = _evenly_spaced(groups, scheme.bits)
    return codes.flatten(1), scales.transpose(0, 1).bfloat16().contiguous()


def _symmetric(groups: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    top = 2 ** (bits - 1) - 1
    scale = _kept(groups.abs().amax(-1, keepdim=True) / top)
    codes = (groups / scale).round_().clamp_(-top, top)
    return codes.to(torch.int8), scale


def _by_levels(groups: Tensor, levels: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    scale = _kept(groups.abs().amax(-1, keepdim=True))
    table = torch.tensor(levels, device=groups.device)
    codes = torch.bucketize(groups / scale, (table[1:] + table[:-1]) / 2)
    return codes.to(torch.uint8), scale


def _evenly_spaced(groups: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Start from the range of each group, then fit line and codes to one another."""
    half, top = 2 ** (bits - 1), 2**bits - 1
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    scale = _kept((high - low) / top)
    zero = _rounded(low + scale * half)
    codes = _codes(groups, scale, zero, half)
    error = _error(groups, codes, scale, zero)
    # The fewer the bits, the more there is to gain.
    for _ in range(8 // bits):
        # The line through (code, weight) with the least squared error.
        centred = codes - codes.mean(-1, keepdim=True)
        spread = centred.square().sum(-1, keepdim=True)
        slope = (centred * groups).sum(-1, keepdim=True) / spread
        new_scale = _kept(torch.where(spread > 0, slope, scale))
        middle = groups.mean(-1, keepdim=True)
        new_zero = _rounded(middle - new_scale * codes.mean(-1, keepdim=True))
        new_codes = _codes(groups, new_scale, new_zero, half)
        new_error = _error(groups, new_codes, new_scale, new_zero)
        better = new_error < error
        if not better.any():
            break
        codes = torch.where(better, new_codes, codes)
        scale = torch.where(better, new_scale, scale)
        zero = torch.where(better, new_zero, zero)
        error = torch.where(better, new_error, error)
    return (codes + half).to(torch.uint8), torch.cat([scale, zero], -1)


def _codes(groups: Tensor, scale: Tensor, zero: Tensor, half: int) -> Tensor:
    """Return the codes as whole numbers from -half to half - 1."""
    return ((groups - zero) / scale).round_().clamp_(-half, half - 1)


def _error(groups: Tensor, codes: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    return (codes * scale + zero - groups).square().sum(-1, keepdim=True)


def _rounded(values: Tensor) -> Tensor:
    return values.bfloat16().float()


def _kept(scale: Tensor) -> Tensor:
    # A group of equal weights has no spread, and nothing is divided by zero.
    scale = _rounded(scale)
    return torch.where(scale >= SMALLEST, scale, torch.ones_like(scale))
