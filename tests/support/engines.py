"""What tests of inference engines share: models without a tokenizer, runners that go
wrong on purpose, and ways to ask.

    runner = row_runner(tiny_torch_model("qwen3"))
    engine = fake_engine(CountingRunner())
    with opened(model, "torch") as engine:
        asked(engine, Request(prompt=(1, 2, 3)))
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import tiny
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from xturing.models.inference import Decoding, EngineOptions, Request, open_engine
from xturing.models.inference.batching import BatchingEngine, Parts
from xturing.models.inference.engine import Capabilities, Event
from xturing.models.inference.runner import Work
from xturing.models.inference.runners.native import NativeRunner
from xturing.models.inference.runners.torch import OneByOneRunner, RowRunner

IDS = [5, 9, 7, 3, 11, 8, 6, 4, 10, 12, 9, 5, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49]
"""A text, longer than the windows of tiny models."""
NOT_ALONE = [60, 61, 62, 63, 64, 61, 60]
"""Another one, which is read beside it."""
TIMEOUT = 30
"""Seconds after which an engine is taken to hang."""


def odd_config() -> LlamaConfig:
    """Return a LLaMA in whose sizes no vector fits."""
    return LlamaConfig(
        vocab_size=67,
        hidden_size=24,
        intermediate_size=20,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=128,
        attention_bias=True,
        mlp_bias=True,
        tie_word_embeddings=True,
    )


def torch_model(config: Any, seed: int = 0) -> Any:
    """Return a random model with weights as large as those of a trained one."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim > 1:
                    parameter.mul_(5)
                if name.endswith(("norm.weight", "bias")):
                    parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


def tiny_torch_model(architecture: str) -> Any:
    config = odd_config() if architecture == "odd" else tiny.CONFIGS[architecture]()
    return torch_model(config)


def logits_of(model: Any, ids: Sequence[int]) -> np.ndarray:
    """Return the logits that transformers computes, of shape (ids, vocabulary)."""
    with torch.inference_mode():
        return (
            model(input_ids=torch.tensor([list(ids)]), use_cache=False)
            .logits[0]
            .numpy()
        )


RUNNERS = {
    "rows": lambda model: RowRunner(model, "cpu", ()),
    "one by one": lambda model: OneByOneRunner(model, "cpu", ()),
    "native": lambda model: NativeRunner(model, scheme="none", threads=1),
}


def read(runner: Any, ids: Sequence[int], cuts: Sequence[int] = ()) -> np.ndarray:
    """Return a runner's logits for all of a text, read in pieces that end at `cuts`."""
    cache = runner.open(len(ids))
    bounds = [0, *cuts, len(ids)]
    found = [
        runner.step([Work(cache, ids[start:end], end - start)])
        for start, end in pairwise(bounds)
    ]
    runner.release(cache)
    return np.concatenate(found)


# ---------------------------------------------------------------- a runner that counts


@dataclass
class CountingCache:
    capacity: int
    adapter: str | None
    length: int = 0


class CountingRunner:
    """A model of ten tokens: after each comes the next higher one, after 9 comes 0.

    `stumble` is called with the work of each step, and may raise or change the logits.
    With a `gate`, a step waits until it is open.
    """

    vocabulary = 10
    adapters = ()

    def __init__(self, context_length: int = 64) -> None:
        self.context_length = context_length
        self.steps: list[list[list[int]]] = []
        self.stumble = lambda work, logits: None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.held = self.most_held = 0
        # Tokens that there is room for in all caches together.
        self.is_closed = False

    def open(self, capacity: int, adapter: str | None = None) -> CountingCache:
        return self._counted(CountingCache(capacity, adapter))

    def _counted(self, made: CountingCache) -> CountingCache:
        self.held += made.capacity
        self.most_held = max(self.held, self.most_held)
        return made

    def step(self, work: Sequence[Work]) -> np.ndarray:
        self.entered.set()
        if not self.gate.wait(TIMEOUT):
            raise TimeoutError("nobody opened the gate")
        self.steps.append([list(each.ids) for each in work])
        rows = [np.empty((0, 10), np.float32)]
        for each in work:
            following = [(token + 1) % 10 for token in each.ids]
            start = len(following) - each.wanted
            rows.append(9 * np.eye(10, dtype=np.float32)[following][start:])
        logits = np.concatenate(rows)
        self.stumble(work, logits)
        for each in work:
            each.cache.length += len(each.ids)
            if each.cache.length > each.cache.capacity:
                raise AssertionError("a cache was given too much")
        return logits

    def copy(self, cache: Any, length: int, capacity: int) -> CountingCache:
        return self._counted(CountingCache(capacity, cache.adapter, length))

    def trim(self, cache: Any, length: int) -> None:
        if length > cache.length:
            raise AssertionError("a cache cannot be trimmed to more than it has")
        cache.length = length

    def release(self, cache: Any) -> None:
        self.held -= cache.capacity

    def close(self) -> None:
        self.is_closed = True


class Digits:
    """A tokenizer of ten digits, without special tokens."""

    clean_up_tokenization_spaces = False

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        return "".join(str(each) for each in ids)

    def convert_ids_to_tokens(self, token_id: int) -> str:
        return str(token_id)


def counting_engine(
    runner: CountingRunner | None = None, *, parts: Any = None, **options: Any
) -> BatchingEngine:
    """Return an engine around a runner that counts; nothing ends its answers."""
    whole = {"capabilities": Capabilities(), "ends": frozenset(), **(parts or {})}
    made = Parts(
        name="counting",
        runner=runner or CountingRunner(),
        tokenizer=Digits(),
        bytes_per_token=1,
        **whole,
    )
    return BatchingEngine(made, EngineOptions(**options))


# ---------------------------------------------------------------- asking


class Listener:
    """Hears what an engine tells of one request."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.has_begun = threading.Event()
        self._has_ended = threading.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.has_begun.set()
        if getattr(event, "finish", True) is not None:
            self._has_ended.set()

    @property
    def last(self) -> Any:
        """What was told last, once it has come."""
        if not self._has_ended.wait(TIMEOUT):
            raise AssertionError("the engine did not come to an end")
        return self.events[-1]

    @property
    def text(self) -> str:
        self.last  # noqa: B018  # waits for the end
        return "".join(getattr(event, "text", "") for event in self.events)

    @property
    def ids(self) -> list[int]:
        self.last  # noqa: B018  # waits for the end
        told = [getattr(event, "tokens", ()) for event in self.events]
        return [token.id for tokens in told for token in tokens]


def listen(engine: Any, prompt: Sequence[int], **decoding: Any) -> Listener:
    """Ask an engine, and return who hears its answer. A `deadline` is one as well."""
    listener = Listener()
    deadline = decoding.pop("deadline", None)
    listener.handle = engine.submit(
        request(prompt, deadline=deadline, **decoding), listener
    )
    return listener


def request(
    prompt: Sequence[int],
    *,
    adapter: str | None = None,
    deadline: float | None = None,
    **decoding: Any,
) -> Request:
    return Request(
        prompt=tuple(prompt),
        decoding=Decoding(**{"max_new_tokens": 8, **decoding}),
        adapter=adapter,
        deadline=deadline,
    )


@contextmanager
def opened(model: Any, name: str, **options: Any) -> Iterator[Any]:
    """Yield an engine on one thread with whole weights, and close it."""
    chosen = {"threads": 1, "weights": "none", **options}
    engine = open_engine(model, name, EngineOptions(**chosen))
    try:
        yield engine
    finally:
        engine.close()
