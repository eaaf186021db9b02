"""Engines: the ways to have a model answer, by name."""

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from xturing.core.errors import XTuringError
from xturing.core.registry import Registry
from xturing.models.inference.requests import Completion, Piece, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xturing.models.base import BaseModel

Event = Piece | XTuringError
"""What an engine tells of a request: parts of its answer, or why there is none."""
Tell = Callable[[Event], None]
"""Called from the engine's thread; it must not take long, and not raise."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How an engine is set up."""

    max_running: int = 16
    """Most requests that are answered at once."""
    max_waiting: int = 64
    """Most requests that wait for their turn; more are refused with `BusyError`."""
    cache_tokens: int | None = None
    """Most tokens that are kept of all sequences. None: what a quarter of the memory
    holds, and at most what `max_running` requests can need."""
    prefill_tokens: int = 256
    """Most tokens of prompts that are read between two tokens of an answer."""
    threads: int | None = None
    """Threads that compute. None: one for each core."""
    weights: str | None = None
    """Scheme that weights are rounded to, such as int8. None: the engine's own
    choice, which its file tells."""
    tensor_parallel: int = 1
    """vllm: GPUs that each layer is divided over."""
    pipeline_parallel: int = 1
    """vllm: groups of GPUs that layers are dealt out to, one after the other."""
    adapters: Mapping[str, Path] = field(default_factory=dict)
    """Folders of adapters that requests may name."""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What an engine can do; all do greedy search, draws, penalties and stop texts."""

    contrastive_search: bool = False
    json_schema: bool = False
    adapters: bool = False
    """Whether several adapters of the model are served at once."""
    log_probabilities: bool = True
    is_batch_invariant: bool = False
    """Whether an answer is the same to the bit whatever is answered beside it."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """How busy an engine is."""

    running: int
    waiting: int
    cached_tokens: int
    """Tokens kept of all sequences, those of idle prefixes included."""


class Handle(Protocol):
    """A request that was taken on."""

    def cancel(self) -> None:
        """Stop writing; from any thread, and as often as wanted."""
        ...


class Engine(Protocol):
    """A model that answers requests, several at once, each as if it were alone."""

    name: str
    capabilities: Capabilities
    tokenizer: Any
    context_length: int | None
    """Most tokens of a prompt and its answer together."""
    adapters: Sequence[str]

    def submit(self, request: Request, tell: Tell) -> Handle:
        """Take on a request, and tell of its answer as it is written.

        The last thing told is a piece with a `finish`, or an error.

        Raises:
            BusyError: too many requests wait.
            SettingsError: the engine cannot do what is asked, or not for so long a
                prompt.
        """
        ...

    def score(self, rows: Sequence[Sequence[int]]) -> "list[NDArray[Any]]":
        """Return for each row the log-probabilities of its tokens but the first.

        In nats, float32, shape (tokens - 1).
        """
        ...

    def load(self) -> Load:
        """Return how busy the engine is at the moment."""
        ...

    def close(self, *, drain: bool = False) -> None:
        """Stop, and give everything back; with `drain`, after what was taken on."""
        ...


Opener = Callable[["BaseModel", EngineOptions], Engine]

ENGINES: Registry[Opener] = Registry(
    "engine",
    "xturing.engines",
    {
        name: f"xturing.models.inference.engines.{name}:open_engine"
        for name in ("torch", "native", "openvino", "vllm")
    },
)


def open_engine(
    model: "BaseModel", name: str = "auto", options: EngineOptions | None = None
) -> Engine:
    """Return an engine for a model; auto: the fastest that can do with it here.

    Raises:
        UnknownNameError: there is no such engine.
        ModelError: it cannot do with this model.
        MissingDependencyError: its library is not installed.
    """
    from xturing.models.inference.choosing import chosen

    wanted = options or EngineOptions()
    return chosen(model, wanted) if name == "auto" else ENGINES[name](model, wanted)


def stream(engine: Engine, request: Request) -> Iterator[Piece]:
    """Yield the pieces of an answer; leaving the iteration early stops the engine.

    Raises:
        BusyError: too many requests wait.
        SettingsError: the engine cannot do what is asked.
    """
    told: queue.SimpleQueue[Event] = queue.SimpleQueue()
    handle = engine.submit(request, told.put)
    try:
        while True:
            event = told.get()
            if isinstance(event, XTuringError):
                raise event
            yield event
            if event.finish is not None:
                return
    finally:
        handle.cancel()


def complete(engine: Engine, requests: Sequence[Request]) -> list[Completion]:
    """Return the answers to some requests, in order.

    As many are on their way at once as the engine takes on.

    Raises:
        SettingsError: the engine cannot do what one of them asks.
    """
    from xturing.models.inference.completing import answers

    return answers(engine, requests)
