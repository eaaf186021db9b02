"""How fast and how much may be asked.

Caps are hard: before a request is sent, the most that it can take is set aside, so
what is spent never exceeds them.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

from xturing.core.errors import SettingsError
from xturing.selfinstruct.exchange import Request, Usage
from xturing.selfinstruct.prices import Price

MINUTE = 60.0


@dataclass(frozen=True, kw_only=True)
class Caps:
    """The most that a run may take, its earlier processes counted; None: no cap."""

    max_requests: int | None = None
    """Requests sent, those that failed counted; 0 to use what was answered only."""
    max_tokens: int | None = None
    """Of prompts and answers."""
    max_cost: float | None = None
    """In US dollars, by the table of prices."""

    def __post_init__(self) -> None:
        for name, cap in vars(self).items():
            if cap is not None and cap < 0:
                raise SettingsError(f"{name} is {cap}, but a cap is 0 or more.")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How a service is treated."""

    concurrency: int = 8
    """Requests on their way at the same time."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Counted before they are sent: a prompt's bytes / 3, and the longest answer."""
    attempts: int = 6
    """Tries at one request before the run ends."""
    longest_wait: float = 120.0
    """Seconds between two attempts, even if the service asks for more."""

    def __post_init__(self) -> None:
        for name, least in vars(self).items():
            if least is not None and least <= 0:
                raise SettingsError(f"{name} is {least}, but has to be above 0.")


class Purse:
    """What was spent, what is set aside, and whether there is enough for more."""

    def __init__(
        self, caps: Caps, price: Price | None, spent: Usage, sent: int
    ) -> None:
        """Begin with what earlier processes of the run spent.

        Raises:
            SettingsError: costs are capped, but the price is not known.
        """
        if caps.max_cost is not None and price is None:
            raise SettingsError(
                "max_cost is set, but the price of this model is not known. Give a "
                "table of prices (prices=…, --prices FILE) with it, or cap "
                "max_tokens or max_requests."
            )
        self._caps = caps
        self._price = price
        self._set_aside = Usage()
        self.spent = spent
        self.sent = sent
        """Requests."""

    @property
    def cost(self) -> float | None:
        """US dollars spent; None if prices are not known."""
        return self._price.of(self.spent) if self._price else None

    def shortfall(self, request: Request) -> str | None:
        """Return the cap that a request would exceed, in words; None if none."""
        caps = self._caps
        if caps.max_requests is not None and self.sent >= caps.max_requests:
            return f"max_requests={caps.max_requests} is reached"
        after = self.spent + self._set_aside + _most(request)
        if caps.max_tokens is not None and after.total > caps.max_tokens:
            return f"the next request could exceed max_tokens={caps.max_tokens}"
        if caps.max_cost is None or self._price is None:
            return None
        if self._price.of(after) > caps.max_cost:
            return f"the next request could exceed max_cost={caps.max_cost:g}"
        return None

    def set_aside(self, request: Request) -> None:
        """Keep what a request may take."""
        self._set_aside += _most(request)
        self.sent += 1

    def release(self, request: Request, used: Usage | None) -> None:
        """Give back what was kept, and take what was used."""
        most = _most(request)
        self._set_aside += Usage(
            prompt_tokens=-most.prompt_tokens, completion_tokens=-most.completion_tokens
        )
        self.spent += used or Usage()


class Throttle:
    """Lets as much through in any minute as a service allows."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._sent: deque[tuple[float, int]] = deque()
        self._turn = asyncio.Lock()

    async def pass_through(self, request: Request) -> None:
        """Wait until a request may be sent, in the order in which they come."""
        tokens = request.most_prompt_tokens() // 3 + request.max_tokens
        async with self._turn:
            while wait := self._wait(tokens):
                await self._sleep(wait)
            self._sent.append((self._clock(), tokens))

    def _wait(self, tokens: int) -> float:
        """Return the seconds until so many tokens may be sent, as far as is known."""
        now = self._clock()
        while self._sent and self._sent[0][0] <= now - MINUTE:
            self._sent.popleft()
        limits = self._limits
        requests_ok = (
            limits.requests_per_minute is None
            or len(self._sent) < limits.requests_per_minute
        )
        recent = sum(count for _, count in self._sent)
        tokens_ok = (
            limits.tokens_per_minute is None
            or not self._sent
            or recent + tokens <= limits.tokens_per_minute
        )
        if requests_ok and tokens_ok:
            return 0.0
        return self._sent[0][0] + MINUTE - now


def _most(request: Request) -> Usage:
    return Usage(
        prompt_tokens=request.most_prompt_tokens(),
        completion_tokens=request.max_tokens,
    )
