"""Models on this machine: requests that come together are answered together."""

import asyncio
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from xturing.core.errors import ModelError, SettingsError
from xturing.core.extras import require
from xturing.core.settings import Layer
from xturing.selfinstruct.clients.chat import messages_of
from xturing.selfinstruct.exchange import FinishReason, Reply, Request, Usage

if TYPE_CHECKING:
    from xturing.models import BaseModel

PACKAGE = "xturing-selfinstruct"
GATHERING = 0.01
"""Seconds in which requests count as coming together; writing a word takes longer."""
SEEDS = 2**63


@dataclass(eq=False)
class Pending:
    """A request, and what became of it."""

    request: Request
    outcome: Reply | ModelError | None = None
    prompt_tokens: int = 0
    most_tokens: int = 0
    """Tokens that an answer may have, since a model reads only so many in all."""

    @property
    def messages(self) -> list[dict[str, str]]:
        """The messages as chat templates take them."""
        return messages_of(self.request)

    def goes_with(self, other: "Pending") -> bool:
        """Tell whether one batch can answer both."""
        return _manner(self.request) == _manner(other.request)


@dataclass(frozen=True)
class Chats:
    """Prompts, as a model takes those of a dataset."""

    messages: Sequence[list[dict[str, str]]]

    def prompts(self) -> Sequence[list[dict[str, str]]]:
        """Return the messages of each."""
        return self.messages


class Local:
    """A model of `xturing.models`: a variant's name, a saved folder, or a model.

    Answers are greedy unless a request sets a temperature. `batch_size` is how many are
    written at the same time, at most. A model that is given keeps its own settings.

    Raises:
        SettingsError: a batch has no requests.
    """

    name = "local"

    def __init__(self, model: "str | Path | BaseModel", *, batch_size: int = 8) -> None:
        if batch_size < 1:
            raise SettingsError(f"batch_size is {batch_size}, but is 1 or more.")
        is_name = isinstance(model, str | Path)
        self.model = str(model) if is_name else _name(model)
        self.batch_size = batch_size
        self._given = None if is_name else model
        self._model: Any = self._given
        self._pending: list[Pending] = []
        self._turn = asyncio.Lock()
        self._writing = Lock()

    async def complete(self, request: Request) -> Reply:
        """Return the model's answer.

        Raises:
            ModelError: the model cannot be opened, or does not take the messages.
            MissingDependencyError: xturing-models is not installed.
        """
        pending = Pending(request)
        self._pending.append(pending)
        try:
            async with self._turn:
                if pending.outcome is None:
                    await asyncio.sleep(GATHERING)
                    await asyncio.to_thread(self._answer, self._batch(pending))
        finally:
            self._pending.remove(pending)
        if isinstance(pending.outcome, Reply):
            return pending.outcome
        raise pending.outcome or ModelError("The model wrote nothing; ask it again.")

    async def close(self) -> None:
        """Let go of a model that was opened by name; the next request opens it anew."""
        self._model = self._given
        # A lock belongs to the event loop in which it was first waited for.
        self._turn = asyncio.Lock()

    def _batch(self, first: Pending) -> list[Pending]:
        """Return a request, and those that can be answered with it."""
        others = [
            pending
            for pending in self._pending
            if pending is not first
            and pending.outcome is None
            and pending.goes_with(first)
        ]
        return [first, *others][: self.batch_size]

    def _answer(self, batch: Sequence[Pending]) -> None:
        """Write the answers to requests, in a thread.

        It goes on when those who wait for it are cancelled; hence a lock of threads.
        """
        with self._writing:
            open_ones = [pending for pending in batch if pending.outcome is None]
            model = self._opened()
            for pending in open_ones:
                pending.outcome = _measure(pending, model)
            able = [pending for pending in open_ones if pending.outcome is None]
            able.sort(key=lambda pending: pending.most_tokens)
            for most, group in groupby(able, key=lambda pending: pending.most_tokens):
                self._write(model, list(group), most)

    def _opened(self) -> Any:
        if self._model is None:
            models = require("xturing.models", package=PACKAGE, extra="local")
            self._model = models.open_model(self.model)
        return self._model

    def _write(self, model: Any, batch: Sequence[Pending], most_tokens: int) -> None:
        writer = copy(model)
        # A copy gets settings of its own with these, and shares all else.
        writer.configure(generation=self._settings(batch, most_tokens))
        answers = writer.answers(
            dataset=Chats([pending.messages for pending in batch]),
            batch_size=self.batch_size,
        )
        for pending, answer in zip(batch, answers, strict=True):
            pending.outcome = _reply(pending, answer)

    def _settings(self, batch: Sequence[Pending], most_tokens: int) -> Layer:
        request = batch[0].request
        # Of a temperature or a probability of 0, only the likeliest token is left.
        is_drawn = bool(request.temperature) and request.top_p != 0
        values = {
            "do_sample": is_drawn,
            "temperature": request.temperature if is_drawn else None,
            "top_p": request.top_p if is_drawn else None,
            "top_k": None,
            "penalty_alpha": None,
            "max_new_tokens": most_tokens,
            "seed": self._seed(batch) if is_drawn else None,
        }
        return Layer(source="request", values=values)

    def _seed(self, batch: Sequence[Pending]) -> int:
        """Return what the draws follow from: other samples have to be other texts."""
        keys = "".join(pending.request.key(self.model) for pending in batch)
        return int(sha256(keys.encode()).hexdigest(), 16) % SEEDS


def _name(model: Any) -> str:
    """Return what tells a model from others, as far as that is known."""
    return f"{model.config_name} of {model.base_checkpoint or model.base_folder}"


def _manner(request: Request) -> tuple[object, ...]:
    return request.max_tokens, request.temperature, request.top_p, request.stop


def _measure(pending: Pending, model: Any) -> ModelError | None:
    """Count a prompt's tokens; return why it cannot be answered, if so."""
    generation = require("xturing.models.generation", package=PACKAGE, extra="local")
    try:
        ids = generation.prompt_tokens(model.engine.tokenizer, pending.messages)
    except ModelError as error:
        return error
    context = model.engine.context_length
    if context is not None and len(ids) >= context:
        return ModelError(
            f"A prompt has {len(ids)} tokens, but the model reads {context} at most, "
            "its answer counted. Make prompts shorter, or use another model."
        )
    pending.prompt_tokens = len(ids)
    most = pending.request.max_tokens
    pending.most_tokens = most if context is None else min(most, context - len(ids))
    return None


def _reply(pending: Pending, answer: Any) -> Reply:
    ends = [answer.text.find(stop) for stop in pending.request.stop if stop]
    end = min((at for at in ends if at >= 0), default=None)
    is_ended = answer.stopped or end is not None
    reason: FinishReason = "stop" if is_ended else "length"
    return Reply(
        text=answer.text[:end],
        finish_reason=reason,
        usage=Usage(
            prompt_tokens=pending.prompt_tokens, completion_tokens=answer.tokens
        ),
        raw={
            "text": answer.text,
            "tokens": answer.tokens,
            "stopped": answer.stopped,
        },
    )
