"""Requests in, answers out: each is asked once, however often the run is begun.

Answers come from the journal where it has them. What is new is sent, several at a time,
no faster and no more than allowed, and tried again where that may help.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception
from tenacity.stop import stop_after_attempt

from xturing.core.events import Notice, tell
from xturing.selfinstruct.clients import CallError, Client
from xturing.selfinstruct.events import Answered
from xturing.selfinstruct.exchange import Reply, Request, Usage
from xturing.selfinstruct.journal import Journal
from xturing.selfinstruct.limits import Limits, Purse, Throttle

FIRST_WAIT = 1.0
"""Seconds before the second attempt, if the service names none; then they double."""

Sleep = Callable[[float], Awaitable[None]]


class Caller:
    """A client that is used with care."""

    def __init__(
        self,
        client: Client,
        journal: Journal,
        purse: Purse,
        limits: Limits,
        *,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.journal = journal
        self.purse = purse
        self.stopped: str | None = None
        """The cap that was reached, in words."""
        self._client = client
        self._limits = limits
        self._sleep = sleep
        self._throttle = Throttle(limits, sleep=sleep)
        self._failed: BaseException | None = None
        self._flying: set[asyncio.Task[None] | None] = set()
        # A thundering herd is avoided by chance, on which nothing else depends.
        self._chance = Random()

    @property
    def engine(self) -> str:
        """The provider and the model, as they stand in keys."""
        return f"{self._client.name}:{self._client.model}"

    async def replies(self, requests: Sequence[Request]) -> list[Reply | None]:
        """Return the answers in order; None from where a cap was reached.

        Whatever happens, requests that are on their way are waited for first, and
        their answers kept.

        Raises:
            CallError: the service refused a request for good, or too often.
            OutputError: the disk is full.
        """
        keys = [request.key(self.engine) for request in requests]
        unanswered = {
            key: request
            for key, request in zip(keys, requests, strict=True)
            if self.journal.answer(key) is None
        }
        if unanswered and self.stopped is None:
            await self._ask_all(unanswered)
        return [self.journal.answer(key) for key in keys]

    async def _ask_all(self, requests: Mapping[str, Request]) -> None:
        self._failed = None
        self._turn, self._landed = asyncio.Lock(), asyncio.Event()
        places = asyncio.Semaphore(self._limits.concurrency)
        tasks = [
            asyncio.create_task(self._ask(key, request, places))
            for key, request in requests.items()
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError as error:
            self._failed = error
            raise
        finally:
            await self._land(tasks)
        if self._failed is not None:
            raise self._failed

    async def _land(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Wait for answers that are on their way, and for nothing else."""
        for task in tasks:
            if task not in self._flying:
                task.cancel()
        if self._flying:
            count = len(self._flying)
            tell(Notice(text=f"Waiting for {count} answers that are on their way."))
        # The first of their failures is known, and the others are not asked for.
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, key: str, request: Request, places: asyncio.Semaphore) -> None:
        async with places:
            try:
                await self._retrying()(self._attempt, key, request)
            except Exception as error:
                # Taken down at once, before another request takes this place.
                is_call = isinstance(error, CallError)
                self._failed = self._failed or (
                    self._explained(error) if is_call else error
                )
                raise

    def _retrying(self) -> AsyncRetrying:
        return AsyncRetrying(
            stop=stop_after_attempt(self._limits.attempts),
            wait=self._wait,
            retry=retry_if_exception(self._may_help),
            sleep=self._sleep,
            reraise=True,
        )

    async def _attempt(self, key: str, request: Request) -> None:
        await self._throttle.pass_through(request)
        if not await self._admit(request):
            return
        used: Usage | None = None
        try:
            self.journal.note_attempt(key)
            reply = await self._client.complete(request)
            used = reply.usage
            self.journal.note_answer(key, request, reply)
        finally:
            self._flying.discard(asyncio.current_task())
            self.purse.release(request, used)
            self._landed.set()
        tell(
            Answered(
                stage=request.stage, requests=self.purse.sent, cost=self.purse.cost
            )
        )

    async def _admit(self, request: Request) -> bool:
        """Tell whether the request may be sent, and set aside what it may take."""
        async with self._turn:
            while self._failed is None and self.stopped is None:
                shortfall = self.purse.shortfall(request)
                if shortfall is None:
                    self.purse.set_aside(request)
                    self._flying.add(asyncio.current_task())
                    return True
                if not self._flying:
                    self.stopped = shortfall
                    break
                # What others do not use of what is set aside for them may suffice.
                self._landed.clear()
                await self._landed.wait()
        return False

    def _may_help(self, error: BaseException) -> bool:
        return (
            isinstance(error, CallError)
            and error.is_temporary
            and self._failed is None
            and self.stopped is None
        )

    def _wait(self, state: RetryCallState) -> float:
        """Return the seconds until the next attempt."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, CallError) else None
        doubled = FIRST_WAIT * 2.0 ** (state.attempt_number - 1)
        jitter = self._chance.uniform(0.5, 1.5)
        # Never sooner than the service says.
        seconds = doubled * jitter if asked is None else asked * max(jitter, 1.0)
        return min(seconds, self._limits.longest_wait)

    def _explained(self, error: CallError) -> CallError:
        if not error.is_temporary:
            return error
        return CallError(
            f"{error} This was attempt {self._limits.attempts}, and the last. All "
            "answers so far are kept: the same command goes on from here.",
            status=error.status,
            retry_after=error.retry_after,
        )
