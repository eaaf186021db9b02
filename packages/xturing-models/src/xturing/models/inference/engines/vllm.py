# vLLM is never in the environment that types are checked in.
# pyright: reportMissingImports=false
"""The engine of vLLM: GPU servers, and clusters by its own use of Ray.

It batches, samples and keeps prefixes itself. Adapters are LoRA modules beside the
base. More GPUs or machines: `tensor_parallel` and `pipeline_parallel`; where they are
more than this machine has, vLLM asks the Ray cluster that `ray start` has made.
Answers are in text up to vLLM's own numerics.
"""

import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from xturing.core.errors import BusyError, EngineError, ModelError, SettingsError
from xturing.core.extras import require
from xturing.models.inference.admission import refuse_impossible
from xturing.models.inference.engine import Capabilities, EngineOptions, Load, Tell
from xturing.models.inference.requests import Decoding, Finish, Piece, Request, Token
from xturing.models.inference.shared import end_ids

if TYPE_CHECKING:
    from xturing.models.base import BaseModel

logger = logging.getLogger(__name__)

FAILED = "vLLM failed while it answered; its log tells why. Ask again."


def open_engine(model: "BaseModel", options: EngineOptions) -> "VllmEngine":
    """Return an engine that vLLM computes in; the model leaves the GPU to it.

    Raises:
        MissingDependencyError: vLLM is not installed.
        ModelError: the weights are quantized, so that vLLM would round them anew.
    """
    require("vllm", package="xturing-models", extra="vllm")
    if model.quantization is not None or options.weights not in (None, "none"):
        raise ModelError(
            "The engine 'vllm' opens whole weights. Save the model without "
            "quantization (`xturing merge` for an adapter), or use the engine 'torch'."
        )
    model.engine.model.to("cpu")
    return VllmEngine(model, options)


@dataclass(frozen=True)
class _Answering:
    number: str
    request: Request
    tell: Tell
    engine: "VllmEngine"

    def cancel(self) -> None:
        """Stop writing."""
        self.engine.abort(self.number)


class VllmEngine:
    """vLLM's engine, run in a thread of ours."""

    name = "vllm"
    capabilities = Capabilities(json_schema=True, adapters=True)

    def __init__(self, model: "BaseModel", options: EngineOptions) -> None:
        self.tokenizer = model.engine.tokenizer
        self._ends = end_ids(self.tokenizer)
        self._options = options
        own = model.adapter_folder
        modules = {name: str(path) for name, path in options.adapters.items()}
        self.adapters: Sequence[str] = tuple(modules)
        if own is not None:
            modules[_OWN] = str(own)
        self._own = _OWN if own is not None else None
        self._modules = {
            name: (number, path)
            for number, (name, path) in enumerate(modules.items(), 1)
        }
        self._vllm = _started(model, options, has_modules=bool(modules))
        config = self._vllm.model_config
        self.context_length: int | None = config.max_model_len
        self._numbers = count()
        self._changed = Condition()
        self._new: deque[_Answering] = deque()
        self._aborted: deque[str] = deque()
        self._running: dict[str, _Answering] = {}
        self._is_closing = self._is_over = False
        self._thread = Thread(target=self._serve, name="xturing-vllm", daemon=True)
        self._thread.start()

    def submit(self, request: Request, tell: Tell) -> _Answering:
        """Take on a request, and tell of its answer as it is written.

        Raises:
            BusyError: too many requests wait.
            SettingsError: vLLM cannot do what is asked.
        """
        refuse_impossible(request, self, self.context_length or 0)
        if request.decoding.lookup_tokens:
            raise SettingsError(
                "vLLM guesses tokens for all requests or for none; leave lookup_tokens "
                "out."
            )
        with self._changed:
            if self._is_closing:
                raise EngineError("The engine is closed; open another one.")
            here = len(self._running) + len(self._new)
            if here >= self._options.max_running + self._options.max_waiting:
                raise BusyError(f"{here} requests are answered or wait already.")
            answering = _Answering(f"{next(self._numbers)}", request, tell, self)
            self._new.append(answering)
            self._changed.notify_all()
        return answering

    def abort(self, number: str) -> None:
        """Stop an answer, from any thread."""
        with self._changed:
            self._aborted.append(number)
            self._changed.notify_all()

    def score(self, rows: Sequence[Sequence[int]]) -> list[NDArray[Any]]:
        """Return for each row the log-probabilities of its tokens but the first.

        Raises:
            SettingsError: always; vLLM's engine is for answers.
        """
        raise SettingsError(
            "The engine 'vllm' writes answers; score rows with the engine 'torch'."
        )

    def load(self) -> Load:
        """Return how busy the engine is at the moment."""
        with self._changed:
            running = len(self._running)
            shown = min(running, self._options.max_running)
            waiting = len(self._new) + running - shown
        return Load(running=shown, waiting=waiting, cached_tokens=0)

    def close(self, *, drain: bool = False) -> None:
        """Stop, and give everything back; with `drain`, after what was taken on."""
        with self._changed:
            self._is_closing = True
            self._is_over = not drain
            self._changed.notify_all()
        self._thread.join()

    # What follows runs in the engine's own thread.

    def _serve(self) -> None:
        while self._is_wanted():
            self._take_on()
            self._let_go()
            try:
                outputs = self._vllm.step()
            except Exception:
                logger.exception("vLLM failed in a step")
                for answering in self._running.values():
                    answering.tell(EngineError(FAILED))
                self._running.clear()
                continue
            for output in outputs:
                self._pass_on(output)
        for answering in [*self._running.values(), *self._new]:
            answering.tell(Piece("", finish=Finish("cancelled")))
        del self._vllm

    def _is_wanted(self) -> bool:
        with self._changed:
            while not (self._new or self._running or self._is_closing):
                self._changed.wait()
            return not self._is_over and bool(self._new or self._running)

    def _take_on(self) -> None:
        from vllm.lora.request import LoRARequest

        with self._changed:
            new = [self._new.popleft() for _ in range(len(self._new))]
        for answering in new:
            name = answering.request.adapter or self._own
            module = None if name is None else LoRARequest(name, *self._modules[name])
            try:
                self._vllm.add_request(
                    answering.number,
                    {"prompt_token_ids": list(answering.request.prompt)},
                    sampling(answering.request.decoding, self._ends),
                    lora_request=module,
                )
            except ValueError as error:
                answering.tell(SettingsError(f"vLLM cannot do this: {error}"))
                continue
            self._running[answering.number] = answering

    def _let_go(self) -> None:
        now = time.monotonic()
        with self._changed:
            aborted = {self._aborted.popleft() for _ in range(len(self._aborted))}
        for number, answering in list(self._running.items()):
            deadline = answering.request.deadline
            is_late = deadline is not None and now >= deadline
            if number in aborted or is_late:
                self._vllm.abort_request([number])
                del self._running[number]
                reason = "cancelled" if number in aborted else "deadline"
                answering.tell(Piece("", finish=Finish(reason)))

    def _pass_on(self, output: Any) -> None:
        answering = self._running.get(output.request_id)
        if answering is None:
            return
        (written,) = output.outputs
        piece = piece_of(written, output)
        if piece.finish is not None:
            del self._running[output.request_id]
        answering.tell(piece)


_OWN = "(its own)"


def _started(model: "BaseModel", options: EngineOptions, *, has_modules: bool) -> Any:
    import torch
    from vllm import EngineArgs, LLMEngine

    gpus = options.tensor_parallel * options.pipeline_parallel
    is_far = gpus > max(torch.cuda.device_count(), 1)
    arguments: dict[str, Any] = {}
    if has_modules:
        arguments |= {"enable_lora": True, "max_loras": max(len(options.adapters), 1)}
        arguments["max_lora_rank"] = LARGEST_RANK
    return LLMEngine.from_engine_args(
        EngineArgs(
            model=str(model.base_folder),
            skip_tokenizer_init=False,
            max_num_seqs=options.max_running,
            enable_prefix_caching=True,
            tensor_parallel_size=options.tensor_parallel,
            pipeline_parallel_size=options.pipeline_parallel,
            distributed_executor_backend="ray" if is_far else None,
            generation_config="vllm",
            disable_log_stats=True,
            **arguments,
        )
    )


LARGEST_RANK = 64
"""Of adapters; vLLM sets memory aside for it."""


def sampling(decoding: Decoding, ends: frozenset[int]) -> Any:
    """Return how tokens are chosen, in vLLM's words."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    schema = decoding.json_schema
    return SamplingParams(
        temperature=decoding.temperature,
        top_k=decoding.top_k,
        top_p=decoding.top_p,
        min_p=decoding.min_p,
        repetition_penalty=decoding.repetition_penalty,
        frequency_penalty=decoding.frequency_penalty,
        presence_penalty=decoding.presence_penalty,
        stop=list(decoding.stop),
        stop_token_ids=sorted(ends),
        seed=decoding.seed,
        max_tokens=decoding.max_new_tokens,
        logprobs=decoding.logprobs,
        output_kind=RequestOutputKind.DELTA,
        structured_outputs=(
            None if schema is None else StructuredOutputsParams(json=schema)
        ),
    )


def piece_of(written: Any, output: Any) -> Piece:
    """Return what vLLM told of an answer, as a piece."""
    tokens = tuple(
        _token(token, None if written.logprobs is None else written.logprobs[place])
        for place, token in enumerate(written.token_ids)
    )
    if written.finish_reason is None:
        return Piece(written.text, tokens)
    stop = written.stop_reason if isinstance(written.stop_reason, str) else None
    reason = "length" if written.finish_reason == "length" else "stop"
    cached = output.num_cached_tokens or 0
    return Piece(written.text, tokens, Finish(reason, stop), cached)


def _token(token: int, chances: Any) -> Token:
    if chances is None:
        return Token(token)
    others = tuple((each, found.logprob) for each, found in chances.items())
    return Token(token, chances[token].logprob, others)
