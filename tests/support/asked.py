"""A client for tests that remembers what it was asked."""

import asyncio
from collections.abc import Callable, Iterable

from xturing.selfinstruct import Caps, Limits, Reply, Request, Turn, Usage
from xturing.selfinstruct.calling import Caller
from xturing.selfinstruct.journal import Journal
from xturing.selfinstruct.limits import Purse

Outcome = Reply | BaseException


def reply(text: str = "yes", tokens: int = 5) -> Reply:
    usage = Usage(prompt_tokens=tokens, completion_tokens=tokens)
    return Reply(text=text, finish_reason="stop", usage=usage)


def request(text: str = "hello", **changes) -> Request:
    given = {"stage": "test", "max_tokens": 10} | changes
    return Request(messages=(Turn("user", text),), **given)


class Asked:
    """Answers with outcomes in turn, then always with the last; or by a function."""

    name = "asked"
    model = "model"

    def __init__(self, outcomes: Iterable[Outcome] | Callable[[Request], Outcome] = ()):
        self._outcomes = outcomes if callable(outcomes) else None
        self._turns = [] if callable(outcomes) else (list(outcomes) or [reply()])
        self.requests: list[Request] = []
        self.flying = self.most_flying = 0

    async def complete(self, request: Request) -> Reply:
        self.requests.append(request)
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        await asyncio.sleep(0)
        self.flying -= 1
        if self._outcomes:
            outcome = self._outcomes(request)
        else:
            outcome = self._turns[0] if len(self._turns) == 1 else self._turns.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def close(self) -> None:
        pass


class Slept:
    """Takes down how long is waited, without waiting."""

    def __init__(self):
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


def caller(client, journal=None, *, caps=None, sleep=None, price=None, **limits):
    journal = Journal(None) if journal is None else journal
    purse = Purse(caps or Caps(), price, journal.usage, journal.attempts)
    return Caller(client, journal, purse, Limits(**limits), sleep=sleep or Slept())


def ask(caller: Caller, *requests: Request) -> list[Reply | None]:
    return asyncio.run(caller.replies(requests))
