"""The packed CPU kernels that torch itself ships, used only where they are right.

They multiply bfloat16 activations with int8 or int4 weights, and are the fast way for a
few rows: with many, dequantizing once and multiplying in full precision is faster. How
the int4 kernel wants its weights laid out depends on the processor, so the layout is
recognised by unpacking what it packed, and taken only if every code comes back.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

FUSED_ROWS = 64
INT4_GROUPS = (32, 64, 128, 256)
TOLERANCE = 0.02
ALIGNMENT = 64


@dataclass(frozen=True)
class Blocks:
    """The int4 kernel's layout: blocks of rows, in each of them column after column.

    A byte holds row j and row j + size/2 of a block; in the last, shorter block it
    holds rows 2j and 2j + 1.
    """

    size: int

    def unpack(self, packed: Tensor, start: int, stop: int) -> Tensor:
        """Return the codes from row `start` to `stop`, of shape (rows, columns).

        Both are multiples of the block size, or the end.
        """
        columns = packed.shape[1] * 2
        whole = (stop - stop % self.size) if stop == packed.shape[0] else stop
        blocks = packed[start:whole].reshape(-1, columns, self.size // 2)
        halves = torch.cat([blocks & 15, blocks >> 4], -1)
        codes = halves.transpose(1, 2).reshape(-1, columns)
        if whole == stop:
            return codes
        rest = packed[max(whole, start) : stop].reshape(columns, -1)
        pairs = torch.stack([rest & 15, rest >> 4], -1).flatten(1)
        return torch.cat([codes, pairs.T])


def int4_packed(codes: Tensor, group_size: int) -> tuple[Tensor, Blocks] | None:
    """Return codes of shape (rows, columns) as the int4 kernel wants them, if it can.

    The bytes have the shape (rows, columns / 2).
    """
    rows, columns = codes.shape
    if codes.device.type != "cpu" or group_size not in INT4_GROUPS or rows % 16:
        return None
    operator = getattr(torch.ops.aten, "_convert_weight_to_int4pack_for_cpu", None)
    if operator is None or not hasattr(torch, "_weight_int4pack_mm_for_cpu"):
        return None
    try:
        packed = operator(codes.to(torch.int32), 1).reshape(rows, columns // 2)
    except RuntimeError:  # it refuses the shape
        return None
    for layout in (Blocks(64), Blocks(32), Blocks(16)):
        if torch.equal(layout.unpack(packed, 0, rows), codes):
            return packed, layout
    return None


def aligned(tensor: Tensor) -> Tensor:
    """Return a tensor that begins where a kernel may load it from.

    The kernels load whole vectors, which ends the process elsewhere; tensors that are
    mapped from a file begin anywhere.
    """
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor


def int8_product(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """Return x @ (codes * scales).T in bfloat16.

    `x` is bfloat16, aligned and of shape (few, columns), `scales` of shape (rows).
    """
    return torch._weight_int8pack_mm(  # noqa: SLF001  # pyright: ignore[reportPrivateImportUsage]
        x, codes, scales
    )


def int4_product(x: Tensor, packed: Tensor, scales: Tensor) -> Tensor:
    """Return x @ weight.T in bfloat16.

    `x` is bfloat16, aligned and of shape (few, columns), `scales` of shape
    (groups, rows, 2).
    """
    group_size = x.shape[1] // scales.shape[0]
    return torch._weight_int4pack_mm_for_cpu(  # noqa: SLF001  # pyright: ignore[reportPrivateImportUsage]
        x, packed, group_size, scales
    )


@dataclass(frozen=True, slots=True)
class Fused:
    """A kernel with a weight as it takes it.

    A model that decodes calls one for each of its layers and tokens, and what Python
    does on the way takes as long as the kernel: all that can be is found beforehand.
    """

    multiply: Callable[[Tensor, Tensor, Tensor], Tensor]
    codes: Tensor
    scales: Tensor
    rows: int
    columns: int

    def product(self, x: Tensor) -> Tensor:
        """Return x @ weight.T in the type of `x`, of shape (..., columns)."""
        flat = x.reshape(-1, self.columns)
        ready = flat.bfloat16()
        if ready is flat or not ready.is_contiguous():
            # A fresh tensor begins where it should, but lies as the other did.
            ready = aligned(ready.contiguous())
        y = self.multiply(ready, self.codes, self.scales)
        y = y.float() if x.dtype is torch.float32 else y.to(x.dtype)
        return y.view(x.shape[:-1] + (self.rows,))  # noqa: RUF005  # in half the time


def agrees(product: Tensor, wanted: Tensor) -> bool:
    """Tell whether a kernel's product is the wanted one, but for rounding."""
    scale = wanted.abs().max().clamp(min=1e-20)
    return bool(((product.float() - wanted).abs().max() / scale) < TOLERANCE)


def has_int8(columns: int) -> bool:
    """Tell whether the int8 kernel can multiply rows of that many weights.

    It loads 16 of them at a time, and reads past the end of others.
    """
    return columns % 32 == 0 and hasattr(torch, "_weight_int8pack_mm")
