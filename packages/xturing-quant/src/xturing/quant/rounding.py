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
    kind = torch.int8 if scheme.is_symmetric else torch.uint8
    parts = []
    for start in range(0, weight.shape[0], step):
        groups = weight[start : start + step].float().unflatten(1, (-1, group_size))
        scales = fitted_scales(groups, scheme)
        codes = nearest(groups, scales, scheme).to(kind)
        parts.append((codes.flatten(1), scales.transpose(0, 1).bfloat16()))
    codes, scales = zip(*parts, strict=True)
    return torch.cat(codes), torch.cat(scales, 1)


def fitted_scales(groups: Tensor, scheme: Scheme) -> Tensor:
    """Return the scales for weights of shape (..., group), of shape (..., 1 or 2).

    They are exact in bfloat16.
    """
    if scheme.is_symmetric:
        top = 2 ** (scheme.bits - 1) - 1
        return _kept(groups.abs().amax(-1, keepdim=True) / top)
    if scheme.levels is not None:
        return _kept(groups.abs().amax(-1, keepdim=True))
    return _line(groups, scheme)


def nearest(weights: Tensor, scales: Tensor, scheme: Scheme) -> Tensor:
    """Return the code of the value nearest to each weight, as whole floats."""
    scale = scales[..., :1]
    if scheme.levels is not None:
        table = torch.tensor(scheme.levels, device=weights.device)
        return torch.bucketize(weights / scale, (table[1:] + table[:-1]) / 2).float()
    half = 2 ** (scheme.bits - 1)
    if scheme.is_symmetric:
        return (weights / scale).round_().clamp_(1 - half, half - 1)
    codes = ((weights - scales[..., 1:]) / scale).round_()
    return codes.add_(half).clamp_(0, 2 * half - 1)


def value_of(codes: Tensor, scales: Tensor, scheme: Scheme) -> Tensor:
    """Return the values that codes stand for."""
    scale = scales[..., :1]
    if scheme.levels is not None:
        return torch.tensor(scheme.levels, device=codes.device)[codes.int()] * scale
    if scheme.is_symmetric:
        return codes * scale
    return (codes - 2 ** (scheme.bits - 1)) * scale + scales[..., 1:]


def _line(groups: Tensor, scheme: Scheme) -> Tensor:
    """Start from the range of each group, then fit line and codes to one another."""
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    half = 2 ** (scheme.bits - 1)
    step = _rounded((high - low) / (2 * half - 1))
    scales = torch.cat([_kept(step), _rounded(low + step * half)], -1)
    codes = nearest(groups, scales, scheme)
    error = _error(groups, codes, scales, scheme)
    middle = groups.mean(-1, keepdim=True)
    # The fewer the bits, the more there is to gain.
    for _ in range(8 // scheme.bits):
        # The line through (code, weight) with the least squared error.
        mean = codes.mean(-1, keepdim=True)
        spread = (codes - mean).square().sum(-1, keepdim=True)
        slope = ((codes - mean) * groups).sum(-1, keepdim=True) / spread
        scale = _kept(torch.where(spread > 0, slope, scales[..., :1]))
        new = torch.cat([scale, _rounded(middle - scale * (mean - half))], -1)
        new_codes = nearest(groups, new, scheme)
        new_error = _error(groups, new_codes, new, scheme)
        better = new_error < error
        if not better.any():
            break
        codes = torch.where(better, new_codes, codes)
        scales = torch.where(better, new, scales)
        error = torch.where(better, new_error, error)
    return scales


def _error(groups: Tensor, codes: Tensor, scales: Tensor, scheme: Scheme) -> Tensor:
    lost = value_of(codes, scales, scheme) - groups
    return lost.square_().sum(-1, keepdim=True)


def _rounded(values: Tensor) -> Tensor:
    return values.bfloat16().float()


def _kept(scale: Tensor) -> Tensor:
    # A group of equal weights has no spread, and nothing is divided by zero.
    scale = _rounded(scale)
    return torch.where(scale >= SMALLEST, scale, torch.ones_like(scale))
