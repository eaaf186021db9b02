"""Requests on their way through an engine, awaited.

The engine tells of answers from its own thread; here they come to the event loop, which
wakes up once for all that is told in one go.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from weakref import WeakKeyDictionary

from fastapi import Request as HttpRequest

from xturing.core.errors import BusyError, XTuringError
from xturing.models.inference.engine import Engine, Event, Handle, Tell
from xturing.models.inference.requests import Completion, Piece, Request
from xturing.server.refusals import RefusedError, later

AT_ONCE = 8
"""Most answers to one HTTP request that are written at once, so that others get their
turn."""
Indexed = tuple[int, Piece]
Told = tuple[int, Event]


class Mailbox:
    """What is told to those who wait in one event loop; one wake-up brings it all."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: deque[tuple[asyncio.Queue[Told], Told]] = deque()
        self._is_called = False

    def put(self, queue: "asyncio.Queue[Told]", told: Told) -> None:
        """Have an event put into a queue, from any thread."""
        self._events.append((queue, told))
        if self._is_called:
            return
        self._is_called = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            # Nobody listens any more once the loop is closed.
            self._events.clear()

    def _deliver(self) -> None:
        # First of all: what is told from here on may come too late for this time.
        self._is_called = False
        while self._events:
            queue, told = self._events.popleft()
            queue.put_nowait(told)


_mailboxes: WeakKeyDictionary[asyncio.AbstractEventLoop, Mailbox] = WeakKeyDictionary()


def _mailbox() -> Mailbox:
    """Return the mailbox of the loop that runs."""
    loop = asyncio.get_running_loop()
    return _mailboxes.setdefault(loop, Mailbox(loop))


class Asking:
    """The answers that one HTTP request asks for, written side by side."""

    def __init__(
        self,
        engine: Engine,
        requests: Sequence[Request],
        *,
        retry_after_seconds: int,
        first_token: Callable[[float], None],
    ) -> None:
        self.requests = requests
        self._engine = engine
        self._retry_after_seconds = retry_after_seconds
        self._first_token = first_token
        self._began = time.monotonic()
        self._unasked = deque(enumerate(requests))
        self._handles: dict[int, Handle] = {}
        self._told: asyncio.Queue[Told] = asyncio.Queue()
        self._mailbox = _mailbox()
        self._is_over = False

    async def start(self) -> None:
        """Have the first answers begun.

        Raises:
            BusyError: the engine has no room.
            SettingsError: it cannot do what is asked.
        """
        try:
            await self._submit()
        except BaseException:
            self.cancel()
            raise

    async def pieces(self) -> AsyncIterator[Indexed]:
        """Yield what is written of each answer with its index, as it comes.

        Raises:
            XTuringError: an answer failed.
        """
        has_begun = False
        written: set[int] = set()
        try:
            while self._handles:
                index, event = await self._told.get()
                if isinstance(event, XTuringError):
                    raise event
                if not has_begun:
                    has_begun = True
                    self._first_token(time.monotonic() - self._began)
                if event.text:
                    written.add(index)
                self._check_end(event, has_text=index in written)
                if event.finish is not None:
                    del self._handles[index]
                    await self._submit()
                yield index, event
        finally:
            self.cancel()

    async def completions(self, http: HttpRequest) -> list[Completion]:
        """Return all answers in order, or stop writing them if the client leaves.

        Raises:
            XTuringError: an answer failed.
        """
        collecting = asyncio.ensure_future(self._collected())
        leaving = asyncio.ensure_future(_left(http))
        try:
            await asyncio.wait(
                {collecting, leaving}, return_when=asyncio.FIRST_COMPLETED
            )
            if not collecting.done():
                raise RefusedError(499, "The client left.")
            return collecting.result()
        finally:
            collecting.cancel()
            leaving.cancel()
            self.cancel()

    def cancel(self) -> None:
        """Stop whatever is still being written."""
        self._is_over = True
        for handle in self._handles.values():
            handle.cancel()

    async def _collected(self) -> list[Completion]:
        parts: list[list[Piece]] = [[] for _ in self.requests]
        async for index, piece in self.pieces():
            parts[index].append(piece)
        return [
            Completion.of(request.prompt, pieces)
            for request, pieces in zip(self.requests, parts, strict=True)
        ]

    async def _submit(self) -> None:
        """Ask for as many answers as may be written at once."""
        while self._unasked and len(self._handles) < AT_ONCE:
            index, request = self._unasked[0]
            # Reading a JSON schema may take a while.
            submitting = asyncio.ensure_future(
                asyncio.to_thread(self._engine.submit, request, self._teller(index))
            )
            submitting.add_done_callback(self._cancel_if_over)
            try:
                self._handles[index] = await asyncio.shield(submitting)
            except BusyError:
                if self._handles:
                    # There will be room, at the latest when one of these is done.
                    return
                raise
            self._unasked.popleft()

    def _cancel_if_over(self, submitting: "asyncio.Future[Handle]") -> None:
        if self._is_over and not submitting.cancelled() and not submitting.exception():
            submitting.result().cancel()

    def _teller(self, index: int) -> Tell:
        put, queue = self._mailbox.put, self._told
        return lambda event: put(queue, (index, event))

    def _check_end(self, piece: Piece, *, has_text: bool) -> None:
        """Raise `RefusedError` if an answer has ended before it has begun."""
        if piece.finish is None:
            return
        if piece.finish.reason == "cancelled":
            raise later(
                503, "The server is stopping.", "draining", self._retry_after_seconds
            )
        if piece.finish.reason == "deadline" and not has_text:
            message = "The request's time was over before its answer began."
            raise later(503, message, "deadline", self._retry_after_seconds)


async def _left(http: HttpRequest) -> None:
    """Return when the client has."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
