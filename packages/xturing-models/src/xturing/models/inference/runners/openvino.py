"""A runner that computes with OpenVINO: the fastest on processors of Intel and AMD.

Keys and values lie in blocks, so that texts of any lengths are read in one go, prompts
beside answers. All is in single precision, but for the weights: they are rounded to
int8 unless whole ones are wanted (`weights="none"`). What a sequence's logits are
depends on what is read beside it by no more than the order in which sums are taken.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import ModelError, SettingsError
from xturing.models.inference.engine import EngineOptions
from xturing.models.inference.openvino.blocks import PagedCache, Pool, blocks_for
from xturing.models.inference.openvino.checking import TOLERANCE, difference, read
from xturing.models.inference.openvino.graphs import BLOCK, LONGEST, with_attention
from xturing.models.inference.openvino.keeping import kept
from xturing.models.inference.openvino.library import core, openvino
from xturing.models.inference.openvino.tracing import Attention
from xturing.models.inference.runner import Work

if TYPE_CHECKING:
    from xturing.models.base import BaseModel

SCHEMES = ("int8", "none")


class OpenVINORunner:
    """A graph that reads sequences from blocks of a shared cache."""

    adapters: Sequence[str] = ()

    def __init__(
        self,
        graph: Any,
        layers: Sequence[Attention],
        *,
        threads: int,
        context_length: int | None = None,
        cache_tokens: int | None = None,
    ) -> None:
        compiled = core().compile_model(
            with_attention(graph, layers), "CPU", _exact(threads)
        )
        self.context_length = context_length
        self.vocabulary: int = compiled.output(0).partial_shape[1].get_length()
        self._request: Any = compiled.create_infer_request()
        caches = [port for port in compiled.inputs if "_cache." in port.any_name]
        shapes = {
            port.any_name: (
                port.element_type,
                tuple(size.get_length() for size in list(port.partial_shape)[1:]),
            )
            for port in caches
        }
        self._pool = Pool(shapes, blocks_for(cache_tokens) if cache_tokens else None)

    def open(self, capacity: int, adapter: str | None = None) -> PagedCache:
        """Return an empty cache with room for so many tokens.

        Raises:
            SettingsError: an adapter is named, and there are none.
        """
        if adapter is not None:
            raise _without_adapters()
        blocks, are_new = self._pool.lend(blocks_for(capacity))
        if are_new:
            for name, tensor in self._pool.tensors.items():
                self._request.set_tensor(name, tensor)
        return PagedCache(blocks, len(blocks) * BLOCK)

    def step(self, work: Sequence[Work]) -> NDArray[Any]:
        """Read new tokens, and return the wanted logits in float32.

        Their shape is (sum of wanted, vocabulary), in the order of the work.
        """
        ov = openvino()
        count = sum(each.wanted for each in work)
        for name, values in _inputs(work).items():
            self._request.set_tensor(name, ov.Tensor(values))
        self._request.infer()
        for each in work:
            each.cache.length += len(each.ids)
        return self._request.get_output_tensor(0).data[:count].copy()

    def copy(self, cache: Any, length: int, capacity: int) -> PagedCache:
        """Return a new cache that begins with the first tokens of another."""
        made = self.open(max(capacity, length))
        count = blocks_for(length)
        self._pool.copy(cache.blocks[:count], made.blocks[:count])
        made.length = length
        return made

    def trim(self, cache: Any, length: int) -> None:
        """Forget all but the first tokens."""
        cache.length = min(cache.length, length)

    def release(self, cache: Any) -> None:
        """Give a cache's blocks back; it is not used again."""
        self._pool.take_back(cache.blocks)
        cache.blocks = []

    def close(self) -> None:
        """Give everything back."""
        self._request = None
        self._pool = Pool({})


def open_runner(model: "BaseModel", options: EngineOptions) -> OpenVINORunner:
    """Return a runner for a model, converted for OpenVINO if it is not yet.

    Raises:
        ModelError: OpenVINO cannot do with the model, or not with rounded weights.
        SettingsError: an option is none that it has.
        MissingDependencyError: OpenVINO is not installed.
    """
    import torch

    scheme = options.weights or SCHEMES[0]
    if scheme not in SCHEMES:
        raise SettingsError(
            f"weights is '{scheme}'; the engine 'openvino' has {' and '.join(SCHEMES)}."
        )
    if options.adapters:
        raise _without_adapters()
    config = model.engine.model.config.get_text_config()
    context_length = getattr(config, "max_position_embeddings", None)

    def run(graph: Any, layers: Sequence[Attention]) -> OpenVINORunner:
        return OpenVINORunner(
            graph,
            layers,
            # torch heeds OMP_NUM_THREADS, as users expect.
            threads=options.threads or torch.get_num_threads(),
            context_length=context_length,
            cache_tokens=options.cache_tokens,
        )

    found = kept(model, scheme, run)
    runner = run(found.graph(), found.card.layers)
    off = difference(read(runner, list(found.card.probe)), found.logits())
    if not off <= TOLERANCE:
        raise ModelError(
            f"{found.folder} gives logits here that differ by {off:.2g} of the largest "
            "from those when it was made. Remove it, or use the engine 'torch'."
        )
    return runner


def _exact(threads: int) -> dict[str, Any]:
    """Return settings by which nothing is rounded while it computes."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
        "INFERENCE_NUM_THREADS": threads,
        # Other programs compute on the same cores.
        "ENABLE_CPU_PINNING": False,
        "SCHEDULING_CORE_TYPE": "ANY_CORE",
    }


def _inputs(work: Sequence[Work]) -> dict[str, NDArray[Any]]:
    """Return tokens of all sequences behind one another, and tables that part them."""
    caches: list[Any] = [each.cache for each in work]
    pasts = np.array([cache.length for cache in caches], np.int32)
    counts = np.array([len(each.ids) for each in work], np.int32)
    ends = np.cumsum(counts)
    wanted = [
        np.arange(end - each.wanted, end) for end, each in zip(ends, work, strict=True)
    ]
    totals = pasts + counts
    used = [blocks_for(int(total)) for total in totals]
    blocks = [cache.blocks[:count] for cache, count in zip(caches, used, strict=True)]
    positions = [
        np.arange(past, total) for past, total in zip(pasts, totals, strict=True)
    ]
    return {
        "input_ids": np.concatenate([each.ids for each in work]).astype(np.int64),
        "position_ids": np.concatenate(positions).astype(np.int64),
        # One is asked for even if none is wanted: no product is empty.
        "wanted": (
            np.concatenate(wanted) if any(map(len, wanted)) else ends[-1:] - 1
        ).astype(np.int64),
        "past_lens": pasts,
        "subsequence_begins": np.concatenate([[0], ends]).astype(np.int32),
        "block_indices": np.concatenate(blocks).astype(np.int32),
        "block_indices_begins": np.cumsum([0, *used]).astype(np.int32),
        LONGEST: np.array(totals.max(), np.int32),
    }


def _without_adapters() -> SettingsError:
    return SettingsError(
        "The engine 'openvino' serves no adapters beside a model. Merge the adapter "
        "first (model.merged()), or use the engine 'torch'."
    )
