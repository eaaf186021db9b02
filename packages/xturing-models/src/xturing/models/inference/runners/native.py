"""The runner of the compiled decoder. Exact: batches change no bit of any logits.

For LLaMA-like decoders (LLaMA, Mistral, Qwen 2 and 3, SmolLM, …) on a processor. Sums
are made in another order than torch makes them, which shows in the sixth digit or so.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import EngineError
from xturing.models.inference.native import layout
from xturing.models.inference.native.building import library
from xturing.models.inference.native.weights import Loaded, add_adapters, load
from xturing.models.inference.runner import Cache, Work


@dataclass
class NativeCache:
    """Keys and values of a sequence, as floats or as codes of 16 bits with scales.

    `numbers` has the shape (layers, 2, kept heads, capacity, head size), and `scales`
    the same without the last.
    """

    numbers: NDArray[Any]
    scales: NDArray[Any] | None
    capacity: int
    adapter: str | None
    length: int = 0

    @property
    def bytes(self) -> int:
        """Return what it takes of memory."""
        return self.numbers.nbytes + (0 if self.scales is None else self.scales.nbytes)


class NativeRunner:
    """A model's weights in the compiled decoder."""

    def __init__(
        self,
        model: Any,
        *,
        scheme: str,
        threads: int,
        adapters: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._loaded: Loaded = load(model, scheme)
        self._is_rounded = scheme == "int8"
        self.adapters: Sequence[str] = tuple(adapters or ())
        if adapters:
            add_adapters(self._loaded, adapters)
        self.vocabulary = self._loaded.vocabulary
        self.context_length = getattr(model.config, "max_position_embeddings", None)
        self._library = library()
        self._library.xturing_decoder_new.restype = ctypes.c_void_p
        self._decoder: ctypes.c_void_p | None = ctypes.c_void_p(
            self._library.xturing_decoder_new(
                ctypes.byref(self._loaded.model), max(threads, 1)
            )
        )

    def open(self, capacity: int, adapter: str | None = None) -> NativeCache:
        """Return an empty cache."""
        loaded = self._loaded
        shape = (loaded.layers, 2, loaded.kept_heads, capacity)
        scales = np.empty(shape, np.float32) if self._is_rounded else None
        kind = np.int16 if self._is_rounded else np.float32
        numbers = np.empty((*shape, loaded.head_size), kind)
        return NativeCache(numbers, scales, capacity, adapter)

    def step(self, work: Sequence[Work]) -> NDArray[Any]:
        """Read new tokens, and return the wanted logits."""
        count = sum(len(each.ids) for each in work)
        tokens, wanted = (layout.Token * count)(), []
        place = 0
        for each in work:
            place = self._lay_out(each, tokens, place)
            wanted += range(place - each.wanted, place)
        logits = np.empty((len(wanted), self.vocabulary), np.float32)
        rows = np.array(wanted, np.int32)
        if self._decoder is None:
            raise EngineError("The engine is closed.")
        self._library.xturing_decoder_step(
            self._decoder,
            tokens,
            count,
            layout.pointer(rows, ctypes.POINTER(ctypes.c_int32)),
            len(wanted),
            layout.pointer(logits),
        )
        for each in work:
            each.cache.length += len(each.ids)
        return logits

    def _lay_out(self, work: Work, tokens: Any, place: int) -> int:
        cache = _own(work.cache)
        if cache.length + len(work.ids) > cache.capacity:
            raise EngineError(
                f"A cache for {cache.capacity} tokens cannot take on {len(work.ids)} "
                f"more than its {cache.length}."
            )
        address = cache.numbers.ctypes.data
        scales = None if cache.scales is None else cache.scales.ctypes.data
        adapter = -1 if cache.adapter is None else self.adapters.index(cache.adapter)
        for position, token in enumerate(work.ids, cache.length):
            if not 0 <= token < self.vocabulary:
                raise EngineError(f"There is no token {token}.")
            tokens[place] = address, scales, cache.capacity, token, position, adapter
            place += 1
        return place

    def copy(self, cache: Cache, length: int, capacity: int) -> NativeCache:
        """Return a new cache that begins with the first tokens of another."""
        source = _own(cache)
        made = self.open(capacity, source.adapter)
        made.numbers[:, :, :, :length] = source.numbers[:, :, :, :length]
        if made.scales is not None and source.scales is not None:
            made.scales[..., :length] = source.scales[..., :length]
        made.length = length
        return made

    def trim(self, cache: Cache, length: int) -> None:
        """Forget all but the first tokens."""
        cache.length = length

    def release(self, cache: Cache) -> None:
        """Give a cache's memory back."""
        own = _own(cache)
        own.numbers, own.scales = np.empty(0), None

    def close(self) -> None:
        """Give everything back."""
        if self._decoder is not None:
            self._library.xturing_decoder_delete(self._decoder)
            self._decoder = None


def _own(cache: Cache) -> NativeCache:
    if not isinstance(cache, NativeCache):
        raise TypeError(f"{type(cache).__name__} is no cache of this runner")
    return cache
