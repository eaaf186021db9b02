"""Codes of one to eight bits as bytes, and back."""

import torch
from torch import Tensor

# Widths that divide a byte; three bits are two and one.
PLANES = {1: (1,), 2: (2,), 3: (2, 1), 4: (4,), 8: (8,)}


def packed_width(count: int, bits: int) -> int:
    """Return how many bytes hold `count` codes."""
    return sum(-(-count * plane // 8) for plane in PLANES[bits])


def pack(codes: Tensor, bits: int) -> Tensor:
    """Return codes of shape (..., count) as bytes of shape (..., packed width)."""
    done = 0
    planes = []
    for plane in PLANES[bits]:
        per_byte = 8 // plane
        part = (codes >> done) & (2**plane - 1)
        part = torch.nn.functional.pad(part, (0, -part.shape[-1] % per_byte))
        # Byte j holds the codes j, j + width, j + 2 * width …, so that unpacking is a
        # few shifts of the whole.
        slots = part.unflatten(-1, (per_byte, -1))
        packed = slots[..., 0, :].clone()
        for slot in range(1, per_byte):
            packed |= slots[..., slot, :] << (slot * plane)
        planes.append(packed)
        done += plane
    return torch.cat(planes, -1)


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """Return the codes of shape (..., count) in bytes that `pack` made."""
    codes, start, done = None, 0, 0
    for plane in PLANES[bits]:
        width = packed_width(count, plane)
        part = packed[..., start : start + width]
        shifted = [
            (part >> shift) & (2**plane - 1) if plane < 8 else part
            for shift in range(0, 8, plane)
        ]
        values = torch.cat(shifted, -1)[..., :count]
        codes = values if codes is None else codes | (values << done)
        start, done = start + width, done + plane
    assert codes is not None  # noqa: S101  # every width has a plane
    return codes
