"""The cache's memory: blocks of tokens, lent to sequences."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from xturing.models.inference.openvino.graphs import BLOCK
from xturing.models.inference.openvino.library import openvino


def blocks_for(tokens: int) -> int:
    """Return how many blocks so many tokens take."""
    return -(-tokens // BLOCK)


@dataclass
class PagedCache:
    """The blocks that hold one sequence's keys and values."""

    blocks: list[int]
    capacity: int
    """Tokens that there is room for."""
    length: int = 0
    adapter: str | None = None


@dataclass
class Pool:
    """Keys and values of all sequences, in blocks of all layers at once.

    It doubles when it is full, up to `limit` blocks, and beyond them grows by what is
    asked for alone.
    """

    shapes: dict[str, tuple[Any, tuple[int, ...]]]
    """Of each input that is a cache, its type of numbers, and its shape for a block."""
    limit: int | None = None
    tensors: dict[str, Any] = field(default_factory=dict)
    _size: int = 0
    _free: list[int] = field(default_factory=list)

    def lend(self, count: int) -> tuple[list[int], bool]:
        """Return numbers of free blocks, and whether the tensors are new ones."""
        missing = count - len(self._free)
        if missing > 0:
            self._grow(missing)
        lent = [self._free.pop() for _ in range(count)]
        return lent, missing > 0

    def take_back(self, blocks: Sequence[int]) -> None:
        """Take blocks that nobody uses any longer."""
        self._free += reversed(blocks)

    def copy(self, source: Sequence[int], target: Sequence[int]) -> None:
        """Copy what some blocks hold to as many others."""
        for tensor in self.tensors.values():
            tensor.data[list(target)] = tensor.data[list(source)]

    def _grow(self, missing: int) -> None:
        ov = openvino()
        doubled = 2 * self._size
        if self.limit is not None:
            doubled = min(doubled, self.limit)
        size = max(self._size + missing, doubled)
        for name, (kind, shape) in self.shapes.items():
            # Memory that is not written to is not taken from the system yet.
            grown = ov.Tensor(kind, ov.Shape([size, *shape]))
            if self._size:
                grown.data[: self._size] = self.tensors[name].data
            self.tensors[name] = grown
        self._free += range(size - 1, self._size - 1, -1)
        self._size = size
