"""Continuous batching: requests join and leave a running batch between two tokens.

One thread owns the runner. In each round it admits who waits, in the order they came,
reads a bounded part of the prompts and then the next token of everyone who writes, and
tells of all tokens that were chosen at once. Nothing of one request depends on
another's, and what goes wrong with one is told to that one alone.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from xturing.core.errors import BusyError, EngineError, XTuringError
from xturing.models.inference.admission import (
    refuse_impossible,
    refuse_unknown,
    refuse_useless,
    token_budget,
)
from xturing.models.inference.engine import (
    Capabilities,
    EngineOptions,
    Event,
    Load,
    Tell,
)
from xturing.models.inference.prefixes import Prefixes
from xturing.models.inference.requests import Piece, Request
from xturing.models.inference.runner import Runner, Work
from xturing.models.inference.scoring import Scoring
from xturing.models.inference.writing import Answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

FAILED = "The engine failed while it answered; its log tells why. Ask again."

Writer = Callable[[Request], Iterator[int]]
"""Yields the tokens of an answer that has a way of its own (contrastive search)."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What an engine is put together from."""

    name: str
    runner: Runner
    tokenizer: Any
    ends: frozenset[int]
    """Ids that end an answer."""
    bytes_per_token: int
    """What a cache takes for each token."""
    capabilities: Capabilities
    schemas: Any = None
    """A `decoding.constraint.Schemas`, made when first asked for; None: no schemas."""
    contrastive: Writer | None = None
    can_rewind: bool = True
    """Whether the runner can forget the last tokens of a sequence, or copy its first
    ones. Models that carry a state cannot."""
    prepare: Callable[[], None] = field(default=lambda: None)
    """Called first in the engine's own thread."""


class BatchingEngine:
    """An engine around a runner."""

    def __init__(self, parts: Parts, options: EngineOptions) -> None:
        self.name = parts.name
        self.capabilities = parts.capabilities
        self.tokenizer = parts.tokenizer
        self.context_length = parts.runner.context_length
        self.adapters: Sequence[str] = tuple(parts.runner.adapters)
        self._parts = parts
        self._options = options
        self._runner = parts.runner
        refuse_useless(options)
        self._budget = token_budget(parts, options)
        self._longest = min(self.context_length or self._budget, self._budget)
        self._prefixes = Prefixes(parts.runner, is_on=parts.can_rewind)
        self._changed = Condition()
        self._waiting: deque[Answer] = deque()
        self._running: list[Answer] = []
        self._untold: list[tuple[Answer, Event]] = []
        self._scorings: deque[Scoring] = deque()
        self._is_closing = self._is_over = False
        self._thread = Thread(target=self._serve, name=f"xturing-{self.name}")
        self._thread.daemon = True
        self._thread.start()

    def submit(self, request: Request, tell: Tell) -> Answer:
        """Take on a request, and tell of its answer as it is written.

        Raises:
            BusyError: too many requests wait.
            SettingsError: the engine cannot do what is asked.
            EngineError: it was closed.
        """
        refuse_impossible(request, self, self._budget)
        refuse_unknown(request.prompt, self._runner.vocabulary)
        answer = Answer(request, tell, self._parts, self._longest)
        with self._changed:
            if self._is_closing:
                raise EngineError("The engine is closed; open another one.")
            here = len(self._waiting) + len(self._running)
            if here >= self._options.max_running + self._options.max_waiting:
                raise BusyError(
                    f"{here} requests are answered or wait already, which is as many "
                    "as the engine takes on (max_running and max_waiting). Ask again "
                    "in a moment."
                )
            self._waiting.append(answer)
            self._changed.notify_all()
        return answer

    def score(self, rows: Sequence[Sequence[int]]) -> "list[NDArray[Any]]":
        """Return for each row the log-probabilities of its tokens but the first.

        Raises:
            EngineError: the engine was closed, or a row is longer than it reads.
            SettingsError: a row holds what is no token of the model.
        """
        for row in rows:
            refuse_unknown(row, self._runner.vocabulary)
        scorings = [Scoring(row, self._longest) for row in rows]
        with self._changed:
            if self._is_closing:
                raise EngineError("The engine is closed; open another one.")
            self._scorings.extend(scorings)
            self._changed.notify_all()
        return [scoring.result() for scoring in scorings]

    def load(self) -> Load:
        """Return how busy the engine is at the moment."""
        with self._changed:
            return Load(
                running=len(self._running),
                waiting=len(self._waiting),
                cached_tokens=self._held() + self._prefixes.tokens,
            )

    def close(self, *, drain: bool = False) -> None:
        """Stop, and give everything back; with `drain`, after what was taken on."""
        with self._changed:
            self._is_closing = True
            if not drain:
                self._is_over = True
            self._changed.notify_all()
        self._thread.join()

    # What follows runs in the engine's own thread.

    def _serve(self) -> None:
        try:
            self._parts.prepare()
            while self._is_wanted():
                self._round()
        finally:
            self._leave()

    def _is_wanted(self) -> bool:
        with self._changed:
            while True:
                has_work = self._running or self._waiting or self._scorings
                if self._is_over or (self._is_closing and not has_work):
                    return False
                if has_work:
                    return True
                # Deadlines are looked at in each round, and here nobody has one.
                self._changed.wait()

    def _round(self) -> None:
        try:
            self._sort_out()
            self._admit()
            if self._scorings:
                self._score_some()
            self._step()
        except Exception:
            # Whatever it was: who is being answered has to know, and the others go on.
            logger.exception("the engine %s failed in a step", self.name)
            for answer in list(self._running):
                self._end(answer, EngineError(FAILED), keep=False)
        self._tell()

    def _sort_out(self) -> None:
        """End what was cancelled or is too late, waiting or running."""
        now = time.monotonic()
        with self._changed:
            waiting = [each for each in self._waiting if each.overdue(now)]
            for each in waiting:
                self._waiting.remove(each)
        for answer in waiting:
            self._untold.append((answer, answer.broken_off(now)))
        for answer in [each for each in self._running if each.overdue(now)]:
            self._end(answer, answer.broken_off(now))

    def _admit(self) -> None:
        while len(self._running) < self._options.max_running:
            with self._changed:
                if not self._waiting:
                    return
                answer = self._waiting[0]
                if not self._has_room(answer.capacity):
                    return
                self._waiting.popleft()
                self._running.append(answer)
            if answer.writer is None:
                self._follow(answer, partial(self._begin, answer))

    def _begin(self, answer: Answer) -> None:
        request = answer.request
        answer.cache, answer.cached = self._prefixes.begin(
            request.prompt, answer.capacity, request.adapter
        )

    def _has_room(self, wanted: int) -> bool:
        free = self._budget - self._held() - wanted
        if free < 0:
            return False
        self._prefixes.shrink(free)
        return True

    def _held(self) -> int:
        answered = sum(answer.capacity for answer in self._running)
        # Rows are scored one after the other; others may join the queue meanwhile.
        if self._scorings and self._scorings[0].is_begun:
            return answered + self._scorings[0].capacity
        return answered

    def _step(self) -> None:
        # Prompts by themselves, so that their first tokens come, and are told, before
        # all others have been computed with.
        left = self._options.prefill_tokens
        prompts: list[tuple[Answer, Work]] = []
        for answer in self._running:
            if answer.is_reading and (work := answer.work(left)) is not None:
                left -= answer.reading
                prompts.append((answer, work))
        self._read(prompts)
        following: list[tuple[Answer, Work]] = []
        for answer in list(self._running):
            if answer.writer is not None:
                self._follow(answer, answer.written)
            elif not answer.is_reading and (work := answer.work(left)) is not None:
                following.append((answer, work))
        self._read(following)

    def _read(self, batch: Sequence[tuple[Answer, Work]]) -> None:
        """Have some answers go on together."""
        if not batch:
            return
        self._tell()
        logits = self._runner.step([work for _, work in batch])
        place = 0
        for answer, work in batch:
            mine = logits[place : place + work.wanted]
            place += work.wanted
            self._follow(answer, partial(answer.read, mine))

    def _follow(self, answer: Answer, go_on: Callable[[], Piece | None]) -> None:
        """Have an answer go on, and note what there is to tell of it."""
        try:
            piece = go_on()
        except XTuringError as error:
            self._end(answer, error, keep=False)
            return
        except Exception:
            logger.exception("the engine %s failed over one answer", self.name)
            self._end(answer, EngineError(FAILED), keep=False)
            return
        if answer.cache is not None and answer.surplus:
            self._runner.trim(answer.cache, answer.cache.length - answer.surplus)
            answer.surplus = 0
        if piece is None:
            return
        if piece.finish is not None:
            self._end(answer, piece)
        else:
            self._untold.append((answer, piece))

    def _end(self, answer: Answer, event: Event, *, keep: bool = True) -> None:
        with self._changed:
            self._running.remove(answer)
        if answer.cache is not None:
            if keep:
                self._prefixes.keep(answer.known, answer.cache)
            else:
                self._runner.release(answer.cache)
            answer.cache = None
        answer.close()
        self._untold.append((answer, event))

    def _tell(self) -> None:
        """Tell all that there is to tell.

        In one go, with nothing between that lets another thread in: whoever listens
        wakes up once for all of it.
        """
        for answer, event in self._untold:
            answer.tell(event)
        self._untold.clear()

    def _score_some(self) -> None:
        scoring = self._scorings[0]
        if not scoring.is_begun and not self._has_room(scoring.capacity):
            return
        try:
            is_done = scoring.go_on(self._runner, self._options.prefill_tokens)
        except Exception as error:  # noqa: BLE001  # handed to who asked
            scoring.fail(error, self._runner)
            is_done = True
        if is_done:
            with self._changed:
                self._scorings.popleft()

    def _leave(self) -> None:
        with self._changed:
            self._is_closing = True
            left = [*self._running, *self._waiting]
            self._waiting.clear()
        for answer in left:
            if answer in self._running:
                self._end(answer, answer.cancelled(), keep=False)
            else:
                self._untold.append((answer, answer.cancelled()))
        self._tell()
        for scoring in self._scorings:
            scoring.fail(EngineError("The engine was closed."), self._runner)
        self._prefixes.shrink(0)
        self._runner.close()
