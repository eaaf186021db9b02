"""The runner of plain torch: any architecture, any device, quantized weights too.

Where a model's attention can be told what to look at, tokens of all sequences go
through its layers as one row; products of more or fewer rows are summed in another
order, which shows in the last digits of the logits. Other models (states, ALiBi) read
one sequence after the other, each with the cache that transformers has for it.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xturing.core.errors import EngineError, ModelError
from xturing.models.inference.adapters import adapter_config
from xturing.models.inference.runner import Cache, Work
from xturing.models.inference.runners.attending import Span, TorchCache, attending
from xturing.models.inference.runners.quick import WHOLE, QuickSteps
from xturing.models.lora import is_adapted, register_packed
from xturing.quant.quantizing import quantized_modules, shell

if TYPE_CHECKING:
    from xturing.models.checkpoint import Checkpoint

PROBE = (5, 9, 7, 3, 11, 8, 6, 4, 10, 12, 9, 5)
"""Tokens that both ways are compared on; which they are does not matter."""
COARSE = 5e-2
"""How far apart logits of short number formats may be, as a share of the largest."""


def open_runner(
    checkpoint: "Checkpoint", adapters: Mapping[str, Path]
) -> "RowRunner | OneByOneRunner":
    """Return a runner for a model, the faster one if it gives the right logits.

    Raises:
        ModelError: an adapter does not fit the model, or it keeps nothing of what it
            has read.
    """
    model = _with_adapters(checkpoint.model, adapters)
    names = tuple(adapters)
    runner = RowRunner(model, checkpoint.device.name, names)
    if runner.is_right():
        return runner
    try:
        return OneByOneRunner(model, checkpoint.device.name, names)
    except AttributeError as error:
        raise ModelError(
            f"{type(checkpoint.model).__name__} cannot go on with what it has read: it "
            f"returns no cache ({error}). Use `model.generate`, which reads anew."
        ) from error


def _with_adapters(model: Any, adapters: Mapping[str, Path]) -> Any:
    """Return a like model with adapters beside its weights; the model itself stays."""
    if not adapters:
        return model
    if is_adapted(model):
        raise ModelError(
            "The model has an adapter of its own, and more cannot be put on top of it. "
            "Merge it (`xturing merge`), or serve its base with all of them."
        )
    found: Any = shell(model)
    for name, folder in adapters.items():
        adapter_config(folder)
        try:
            found = _with_adapter(found, name, folder)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelError(
                f"The adapter '{name}' in {folder} does not fit the model: {error}"
            ) from error
    return found.eval()


def _with_adapter(model: Any, name: str, folder: Path) -> Any:
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
    from peft.utils.save_and_load import load_peft_weights

    config: Any = PeftConfig.from_pretrained(str(folder))
    # What it began with is in what is loaded.
    config.inference_mode, config.init_lora_weights = True, True
    register_packed(config)
    if is_adapted(model):
        model.add_adapter(name, config)
    else:
        model = get_peft_model(model, config, adapter_name=name)
    weights = load_peft_weights(str(folder), device="cpu")
    result = set_peft_model_state_dict(model, weights, adapter_name=name)
    # Peft passes over what the model has no layer for.
    if result.unexpected_keys:
        raise ValueError(f"the model has no layer for {result.unexpected_keys[0]}")
    return model


class _TorchRunner:
    """What both ways share."""

    def __init__(self, model: Any, device: str, adapters: tuple[str, ...]) -> None:
        self._model: Any = model.eval()
        self._plain: Any = model.get_base_model() if is_adapted(model) else model
        self._device = device
        self.adapters: Sequence[str] = adapters
        config = self._plain.config.get_text_config()
        self.vocabulary = config.vocab_size
        self.context_length = getattr(config, "max_position_embeddings", None)

    def _speaking_as(self, adapter: str | None) -> Any:
        """Return a context in which just that adapter is active."""
        if not self.adapters:
            return nullcontext()
        if adapter is None:
            return self._model.disable_adapter()
        self._model.set_adapter(adapter)
        return nullcontext()

    def close(self) -> None:
        """Give everything back."""
        self._model = self._plain = None

    def _is_like(self, found: NDArray[Any], wanted: NDArray[Any]) -> bool:
        """Tell whether logits differ by no more than rounding explains."""
        # Kernels for packed weights multiply shorter numbers, where there are few rows.
        is_whole = self._plain.dtype == torch.float32 and not quantized_modules(
            self._plain
        )
        bound = (WHOLE if is_whole else COARSE) * np.abs(wanted).max()
        return bool(np.abs(found - wanted).max() <= bound)

    def _numpy(self, logits: Tensor) -> NDArray[Any]:
        return logits.float().cpu().numpy()


class RowRunner(_TorchRunner):
    """Tokens of all sequences in one row."""

    can_rewind = True

    def __init__(self, model: Any, device: str, adapters: tuple[str, ...]) -> None:
        super().__init__(model, device, adapters)
        self._quick = QuickSteps(self._plain)

    def open(self, capacity: int, adapter: str | None = None) -> TorchCache:
        """Return an empty cache."""
        return TorchCache(capacity, adapter)

    def step(self, work: Sequence[Work]) -> NDArray[Any]:
        """Read new tokens, and return the wanted logits."""
        rows: dict[int, NDArray[Any]] = {}
        adapters = dict.fromkeys(each.cache.adapter for each in work)
        with torch.inference_mode():
            for adapter in adapters:
                mine = [
                    (number, each)
                    for number, each in enumerate(work)
                    if each.cache.adapter == adapter
                ]
                with self._speaking_as(adapter):
                    rows |= self._read(mine)
        wanted = [rows[number] for number in range(len(work))]
        return np.concatenate([np.empty((0, self.vocabulary), np.float32), *wanted])

    def _read(self, work: Sequence[tuple[int, Work]]) -> dict[int, NDArray[Any]]:
        spans, ids, positions, places, start = [], [], [], [], 0
        for _, each in work:
            cache, count = _own(each.cache), len(each.ids)
            if cache.length + count > cache.capacity:
                raise EngineError(f"A cache for {cache.capacity} tokens is full.")
            spans.append(Span(start, count, cache))
            ids += each.ids
            positions += range(cache.length, cache.length + count)
            start += count
            places += range(start - each.wanted, start)
        logits = self._forward(spans, ids, positions, places)
        found, place = {}, 0
        for (number, each), span in zip(work, spans, strict=True):
            span.cache.length += span.count
            found[number] = logits[place : place + each.wanted]
            place += each.wanted
        return found

    def _forward(
        self,
        spans: Sequence[Span],
        ids: Sequence[int],
        positions: Sequence[int],
        places: Sequence[int],
    ) -> NDArray[Any]:
        def plain() -> Tensor:
            with attending(self._plain, spans):
                return self._plain(
                    input_ids=torch.tensor([ids], device=self._device),
                    position_ids=torch.tensor([positions], device=self._device),
                    use_cache=False,
                    logits_to_keep=torch.tensor(places, device=self._device).long(),
                ).logits[0]

        if len(ids) > len(spans):
            return self._numpy(plain())
        return self._numpy(self._quick.logits(spans, ids, places, plain))

    def close(self) -> None:
        """Give everything back."""
        super().close()
        self._quick.close()

    def is_right(self) -> bool:
        """Tell whether two sequences side by side get the logits that each has alone.

        The model is asked in its own way, with nothing beside and nothing before.
        """
        parameters = inspect.signature(self._plain.forward).parameters
        if not {"position_ids", "logits_to_keep"} <= set(parameters):
            return False
        if _shows_late(self._plain.config.get_text_config()):
            return False
        probe = [token % self.vocabulary for token in PROBE]
        try:
            with torch.inference_mode(), self._speaking_as(None):
                row = torch.tensor([probe], device=self._device)
                wanted = self._numpy(
                    self._plain(input_ids=row, use_cache=False).logits[0]
                )
            found = self._probed(probe)
        except (
            *(TypeError, ValueError, RuntimeError, KeyError, AttributeError),
            ModelError,
        ):
            return False
        return self._is_like(found, wanted)

    def _probed(self, probe: list[int]) -> NDArray[Any]:
        """Return the probe's logits, read in pieces with another sequence beside."""
        one, other = self.open(len(probe)), self.open(len(probe))
        middle = len(probe) // 2
        first = self.step(
            [Work(other, probe[:3], 1), Work(one, probe[:middle], middle)]
        )
        rest = probe[middle:]
        second = self.step([Work(one, rest, len(rest)), Work(other, probe[3:4], 0)])
        return np.concatenate([first[1:], second])

    def copy(self, cache: Cache, length: int, capacity: int) -> TorchCache:
        """Return a new cache that begins with the first tokens of another."""
        source = _own(cache)
        made = self.open(capacity, source.adapter)
        with torch.inference_mode():
            for layer, (keys, values) in source.layers.items():
                made.extended(layer, keys[:, :, :length], values[:, :, :length])
        made.length = length
        return made

    def trim(self, cache: Cache, length: int) -> None:
        """Forget all but the first tokens."""
        cache.length = length

    def release(self, cache: Cache) -> None:
        """Give a cache's memory back."""
        _own(cache).layers.clear()


def _shows_late(config: Any) -> bool:
    """Tell whether long texts are read in a way that no short one would show.

    Such as rotations that depend on how long the row is, or attention in chunks.
    """
    rotations = str(getattr(config, "rope_parameters", None))
    kinds = str(getattr(config, "layer_types", None))
    return "chunk" in kinds or "dynamic" in rotations or "longrope" in rotations


def _own(cache: Cache) -> TorchCache:
    if not isinstance(cache, TorchCache):
        raise TypeError(f"{type(cache).__name__} is no cache of this runner")
    return cache


@dataclass
class StateCache:
    """What transformers keeps of a sequence: keys and values, or a state."""

    capacity: int
    adapter: str | None
    length: int = 0
    state: Any = None


class OneByOneRunner(_TorchRunner):
    """Each sequence through the model by itself, with its own cache of transformers."""

    def __init__(self, model: Any, device: str, adapters: tuple[str, ...]) -> None:
        super().__init__(model, device, adapters)
        named = inspect.signature(self._plain.forward).parameters
        self._keeps = (
            "past_key_values" if "past_key_values" in named else "cache_params"
        )
        self._takes_place = "cache_position" in named
        # Some states can be gone on from token by token only.
        self._goes_on = True
        self._goes_on = self._is_as_whole(self._in_pieces)
        self.can_rewind = self._is_as_whole(self._rewound)

    def _is_as_whole(self, read: Callable[[list[int]], NDArray[Any]]) -> bool:
        """Tell whether a way of reading gives the logits of reading all at once."""
        probe = [token % self.vocabulary for token in PROBE]
        cache = self.open(len(probe))
        wanted = self.step([Work(cache, probe, len(probe))])
        try:
            found = read(probe)
        except (AttributeError, ValueError, RuntimeError, ModelError):
            return False
        return self._is_like(found, wanted[len(probe) - len(found) :])

    def _in_pieces(self, probe: list[int]) -> NDArray[Any]:
        cache, middle = self.open(len(probe)), len(probe) // 2
        self.step([Work(cache, probe[:middle], 0)])
        return self.step([Work(cache, probe[middle:], len(probe) - middle)])

    def _rewound(self, probe: list[int]) -> NDArray[Any]:
        cache, middle = self.open(len(probe)), len(probe) // 2
        self.step([Work(cache, [*probe[:middle], probe[0], probe[0]], 0)])
        if any(getattr(layer, "is_sliding", False) for layer in cache.state.layers):
            raise ModelError("A window has forgotten what came before it.")
        self.trim(cache, middle)
        return self.step([Work(cache, probe[middle:], len(probe) - middle)])

    def open(self, capacity: int, adapter: str | None = None) -> StateCache:
        """Return an empty cache."""
        return StateCache(capacity, adapter)

    def step(self, work: Sequence[Work]) -> NDArray[Any]:
        """Read new tokens, and return the wanted logits."""
        rows: list[NDArray[Any]] = [np.empty((0, self.vocabulary), np.float32)]
        with torch.inference_mode():
            for each in work:
                with self._speaking_as(each.cache.adapter):
                    rows.append(self._read(_state(each.cache), each))
        return np.concatenate(rows)

    def _read(self, cache: StateCache, work: Work) -> NDArray[Any]:
        if cache.length + len(work.ids) > cache.capacity:
            raise EngineError(f"A cache for {cache.capacity} tokens is full.")
        is_whole = cache.state is None or self._goes_on
        pieces = [work.ids] if is_whole else [[token] for token in work.ids]
        logits = torch.cat([self._piece(cache, ids) for ids in pieces])
        return self._numpy(logits[len(work.ids) - work.wanted :])

    def _piece(self, cache: StateCache, ids: Sequence[int]) -> Tensor:
        row = torch.tensor([ids], device=self._device)
        options: dict[str, Any] = {self._keeps: cache.state, "use_cache": True}
        if self._takes_place and cache.state is not None:
            end = cache.length + len(ids)
            options["cache_position"] = torch.arange(
                cache.length, end, device=self._device
            )
        output = self._plain(input_ids=row, **options)
        cache.state = getattr(output, self._keeps)
        cache.length += len(ids)
        return output.logits[0]

    def copy(self, cache: Cache, length: int, capacity: int) -> StateCache:
        """Return a new cache that begins with the first tokens of another."""
        source = _state(cache)
        made = StateCache(capacity, source.adapter, source.length)
        made.state = copy.deepcopy(source.state)
        self.trim(made, length)
        return made

    def trim(self, cache: Cache, length: int) -> None:
        """Forget all but the first tokens."""
        own = _state(cache)
        if length < own.length:
            # By how much, as transformers counts it.
            own.state.crop(length - own.length)
        own.length = length

    def release(self, cache: Cache) -> None:
        """Give a cache's memory back."""
        _state(cache).state = None


def _state(cache: Cache) -> StateCache:
    if not isinstance(cache, StateCache):
        raise TypeError(f"{type(cache).__name__} is no cache of this runner")
    return cache
