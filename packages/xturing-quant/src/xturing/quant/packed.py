"""A quantized weight: codes and scales in ordinary buffers, and products with it."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from xturing.quant import kernels
from xturing.quant.calibration import calibrated, loss
from xturing.quant.packing import pack, packed_width, unpack
from xturing.quant.rounding import fitted_group, quantized
from xturing.quant.schemes import Scheme

TILE = 2**22
"""Weights that are dequantized at once."""


class Packed(nn.Module):
    """A weight in a scheme, its rows being what `scheme.group_size` groups.

    `shape` is the weight's own; its last dimension is a row. With `is_transposed`, the
    weight is a matrix that is stored the other way round, as GPT-2's are. `dtype` is
    the weight's when it is dense.

    In files, `codes` are packed as `packing.pack` does. In memory they may be in the
    order that a CPU kernel wants; `state_dict` always gives the former.
    """

    codes: Tensor
    scales: Tensor

    def __init__(
        self,
        scheme: Scheme,
        shape: tuple[int, ...],
        group_size: int | None = None,
        *,
        is_transposed: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.scheme = scheme
        self.shape = tuple(shape)
        self.is_transposed = is_transposed
        self.dtype = dtype
        stored = self.shape[::-1] if is_transposed else self.shape
        self.columns = stored[-1]
        self.rows = int(torch.Size(stored[:-1]).numel())
        self.group_size = fitted_group(self.columns, group_size or scheme.group_size)
        self._layout: kernels.Blocks | None = None
        self._fused: kernels.Fused | None = None
        width = packed_width(self.columns, scheme.bits)
        kind = torch.int8 if scheme.is_symmetric else torch.uint8
        parts = 1 if scheme.is_symmetric or scheme.levels else 2
        groups = self.columns // self.group_size
        with torch.device("meta"):
            codes = torch.empty(self.rows, width, dtype=kind)
            scales = torch.empty(groups, self.rows, parts, dtype=torch.bfloat16)
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)

    def fill(self, weight: Tensor, moment: Tensor | None = None) -> None:
        """Take on a weight of this shape.

        `moment` is the second moment of its inputs, for rounding that heeds them.
        """
        turned = weight.T.contiguous() if self.is_transposed else weight
        stored = turned.reshape(self.rows, -1)
        found = quantized(stored.detach(), self.scheme, self.group_size)
        if moment is not None:
            # Feeding errors on is no gain where there are next to none, as in weights
            # that were on such a grid before.
            fed = calibrated(stored, self.scheme, self.group_size, moment)
            found = min(
                (found, fed), key=lambda it: loss(stored, *it, self.scheme, moment)
            )
        self.take(*found)

    def take(self, codes: Tensor, scales: Tensor) -> None:
        """Take on codes and scales as `rounding.quantized` gives them."""
        self.codes = codes if self.scheme.bits == 8 else pack(codes, self.scheme.bits)
        self.scales = scales
        self.settle()

    def settle(self) -> None:
        """Put the codes in the order that a fast kernel wants, if there is one."""
        if self.codes.device.type != "cpu" or len(self.shape) != 2:
            return
        self.codes = kernels.aligned(self.codes)
        self.scales = kernels.aligned(self.scales)
        if self.scheme.bits == 4 and self._layout is None:
            self._lay_out()
        fused = self._kernel()
        self._fused = fused if fused is not None and self._is_right(fused) else None

    def dequantize(self) -> Tensor:
        """Return the weight in its own shape."""
        stored = self.part(0, self.rows, self.dtype)
        return stored.T if self.is_transposed else stored.reshape(self.shape)

    def part(self, start: int, stop: int, dtype: torch.dtype) -> Tensor:
        """Return rows of the stored weight, of shape (stop - start, columns).

        `start` is a multiple of 64.
        """
        values = self._values(self._unpacked(start, stop), dtype)
        return self._scaled(values, self.scales[:, start:stop])

    def lookup(self, rows: Tensor) -> Tensor:
        """Return the rows of these numbers, of shape (*rows.shape, columns)."""
        numbers = rows.flatten()
        codes = self.codes[numbers]
        if self.scheme.bits < 8:
            codes = unpack(codes, self.scheme.bits, self.columns)
        values = self._values(codes, self.dtype)
        scaled = self._scaled(values, self.scales[:, numbers])
        return scaled.view(*rows.shape, self.columns)

    def product(self, x: Tensor) -> Tensor:
        """Return x @ stored.T for x of shape (..., columns).

        Differentiable in x, through the dequantized weight.
        """
        fused = self._fused
        if (
            fused is not None
            and x.is_cpu
            and x.numel() <= kernels.FUSED_ROWS * self.columns
            and not torch.is_grad_enabled()
        ):
            return fused.product(x)
        y = _Product.apply(x.reshape(-1, self.columns), self, 0, self.rows, False)
        return y.view(*x.shape[:-1], self.rows)

    def slice_product(self, x: Tensor, number: int, *, is_transposed: bool) -> Tensor:
        """Return x @ slice.T, or x @ slice, for a slice along the first dimension."""
        rows = self.rows // self.shape[0]
        flat = x.reshape(-1, x.shape[-1])
        y = _Product.apply(flat, self, number * rows, rows, is_transposed)
        return y.view(*x.shape[:-1], y.shape[-1])

    def slice(self, number: int) -> Tensor:
        """Return a slice of the weight along its first dimension."""
        rows = self.rows // self.shape[0]
        start = number * rows
        return self.part(start, start + rows, self.dtype).reshape(self.shape[1:])

    def tiles(self, start: int, rows: int) -> Iterator[tuple[int, int]]:
        """Yield the bounds of parts that are small enough to stay in a cache."""
        step = max(64, TILE // self.columns // 64 * 64)
        for first in range(start, start + rows, step):
            yield first, min(first + step, start + rows)

    @property
    def size_in_bytes(self) -> int:
        """Bytes of the codes and scales."""
        return self.codes.nbytes + self.scales.nbytes

    def _lay_out(self) -> None:
        """Put 4-bit codes in the order that the kernel wants, if there is one."""
        if self.scheme.is_symmetric or self.scheme.levels is not None:
            return
        found = kernels.int4_packed(self._unpacked(0, self.rows), self.group_size)
        if found is not None:
            self.codes, self._layout = found

    def _kernel(self) -> kernels.Fused | None:
        """Return the kernel for this weight, if there is one."""
        shape = self.rows, self.columns
        if self._layout is not None:
            return kernels.Fused(kernels.int4_product, self.codes, self.scales, *shape)
        is_whole = self.scheme.is_symmetric and self.group_size == self.columns
        if not is_whole or not kernels.has_int8(self.columns):
            return None
        flat = self.scales.view(-1)
        return kernels.Fused(kernels.int8_product, self.codes, flat, *shape)

    def _is_right(self, fused: kernels.Fused) -> bool:
        """Tell whether the kernel gives the product that it should."""
        probe = torch.linspace(-1, 1, self.columns)[None].bfloat16().float()
        wanted = _multiplied(probe, self, 0, self.rows, flip=False)
        try:
            return kernels.agrees(fused.product(probe), wanted)
        except RuntimeError:  # it refuses the shape
            return False

    def _unpacked(self, start: int, stop: int) -> Tensor:
        if self._layout is not None:
            return self._layout.unpack(self.codes, start, stop)
        codes = self.codes[start:stop]
        bits = self.scheme.bits
        return codes if bits == 8 else unpack(codes, bits, self.columns)

    def _values(self, codes: Tensor, dtype: torch.dtype) -> Tensor:
        if self.scheme.levels is None:
            return codes.to(dtype)
        table = torch.tensor(self.scheme.levels, dtype=dtype, device=codes.device)
        return table[codes.int()]

    def _scaled(self, values: Tensor, scales: Tensor) -> Tensor:
        """Work scales of shape (groups, rows, parts) into fresh values, in place."""
        kept = scales.transpose(0, 1).to(values.dtype)
        grouped = values.unflatten(1, (-1, self.group_size))
        grouped.mul_(kept[..., :1])
        if kept.shape[-1] == 2:
            half = 2 ** (self.scheme.bits - 1)
            grouped.add_(kept[..., 1:] - half * kept[..., :1])
        return values

    def _canonical(self) -> Tensor:
        if self._layout is None:
            return self.codes
        return pack(self._unpacked(0, self.rows), self.scheme.bits)

    def _apply(self, fn: Any, recurse: bool = True) -> "Packed":
        # Casts of the whole model must not round the scales: they pass as bits.
        was_fused, self._fused = self._fused is not None, None
        self.scales = self.scales.view(torch.int16)
        try:
            super()._apply(fn, recurse)
        finally:
            self.scales = self.scales.view(torch.bfloat16)
        self.dtype = fn(torch.empty(0, dtype=self.dtype)).dtype
        if was_fused and self.codes.is_cpu:
            self._fused = self._kernel()  # found right before
        else:
            self.settle()
        return self

    def _save_to_state_dict(
        self, destination: Any, prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}codes"] = self._canonical()

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        self.codes, self._layout, self._fused = self._canonical(), None, None
        super()._load_from_state_dict(*args, **options)
        self.settle()


class _Product(torch.autograd.Function):
    """x @ weight.T or x @ weight, keeping no dequantized weight for the way back."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, packed: Packed, start: int, rows: int, flip: bool
    ) -> Tensor:
        ctx.packed, ctx.start, ctx.rows, ctx.flip = packed, start, rows, flip
        return _multiplied(x, packed, start, rows, flip)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        back = _multiplied(gradient, ctx.packed, ctx.start, ctx.rows, not ctx.flip)
        return back, None, None, None, None


def _multiplied(x: Tensor, packed: Packed, start: int, rows: int, flip: bool) -> Tensor:
    """Return x @ part.T, or with `flip` x @ part, tile by tile."""
    width = packed.columns if flip else rows
    y = x.new_zeros(x.shape[0], width) if flip else x.new_empty(x.shape[0], width)
    for first, last in packed.tiles(start, rows):
        tile = packed.part(first, last, x.dtype)
        if flip:
            y.addmm_(x[:, first - start : last - start], tile)
        else:
            torch.mm(x, tile.T, out=y[:, first - start : last - start])
    return y
