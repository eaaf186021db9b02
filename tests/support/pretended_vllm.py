"""As much of vLLM as our engine touches, in its names; it writes the prompt backwards.

What vLLM itself does is for machines with GPUs; here it is what we ask of it, and what
we make of what it tells.
"""

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any


@dataclass
class Chance:
    """The log-probability of a token."""

    logprob: float


@dataclass
class LLMEngine:
    """An engine that writes a token a step."""

    arguments: Any
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    broken: bool = False

    def __post_init__(self) -> None:
        self.model_config = SimpleNamespace(max_model_len=32)
        self._open: dict[str, Any] = {}

    @classmethod
    def from_engine_args(cls, arguments: Any) -> "LLMEngine":
        """Return an engine."""
        return cls(arguments)

    def add_request(
        self, number: str, prompt: Any, params: Any, lora_request: Any = None
    ) -> None:
        """Take on a request."""
        if params.top_k == 13:
            raise ValueError("thirteen is refused")
        self.asked.append((number, prompt, params, lora_request))
        left = list(reversed(prompt["prompt_token_ids"]))[: params.max_tokens]
        self._open[number] = left, params

    def abort_request(self, numbers: list[str]) -> None:
        """Forget requests."""
        for number in numbers:
            self._open.pop(number, None)

    def step(self) -> list[Any]:
        """Return the next token of each."""
        if self.broken:
            self._open.clear()
            raise RuntimeError("the device is gone")
        told = []
        for number, (left, params) in list(self._open.items()):
            token = left.pop(0)
            if not left:
                del self._open[number]
            written = SimpleNamespace(
                text=f"<{token}>",
                token_ids=[token],
                logprobs=[{token: Chance(-0.5)}] if params.logprobs else None,
                finish_reason=None if left else "length",
                stop_reason=None,
            )
            told.append(
                SimpleNamespace(
                    request_id=number, outputs=[written], num_cached_tokens=2
                )
            )
        return told


def install(monkeypatch: Any) -> list[LLMEngine]:
    """Have `import vllm` find this; return the engines that are made."""
    made: list[LLMEngine] = []

    def start(arguments: Any) -> LLMEngine:
        made.append(LLMEngine(arguments))
        return made[-1]

    modules = {name: ModuleType(name) for name in MODULES}
    values: dict[str, Any] = {
        "vllm": {
            "EngineArgs": SimpleNamespace,
            "LLMEngine": SimpleNamespace(from_engine_args=start),
            "SamplingParams": SimpleNamespace,
        },
        "vllm.lora.request": {"LoRARequest": lambda *given: given},
        "vllm.sampling_params": {
            "RequestOutputKind": SimpleNamespace(DELTA="delta"),
            "StructuredOutputsParams": SimpleNamespace,
        },
    }
    for name, module in modules.items():
        vars(module).update(values.get(name, {}))
        monkeypatch.setitem(sys.modules, name, module)
    return made


MODULES = ("vllm", "vllm.lora", "vllm.lora.request", "vllm.sampling_params")
