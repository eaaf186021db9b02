"""On what terms a model is asked, and the asking itself from first to last."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from xturing.selfinstruct.asking import Asking, Config
from xturing.selfinstruct.calling import Caller
from xturing.selfinstruct.clients import Client
from xturing.selfinstruct.journal import Journal
from xturing.selfinstruct.limits import Caps, Limits, Purse
from xturing.selfinstruct.prices import price_of
from xturing.selfinstruct.prompts import Prompts

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On what terms a model is asked."""

    caps: Caps = field(default_factory=Caps)
    limits: Limits = field(default_factory=Limits)
    prices: Path | None = None
    """A table of prices that goes before the bundled one."""
    prompts: Path | None = None
    """A folder of templates that take the place of bundled ones."""
    is_resumed: bool = False
    """Whether there has to be a run already."""


def caller_of(client: Client, journal: Journal, terms: Terms) -> Caller:
    """Return a client that is used on these terms.

    Raises:
        SettingsError: costs are capped, but the model's price is not known.
    """
    price = price_of(client.name, client.model, terms.prices)
    purse = Purse(terms.caps, price, journal.usage, journal.attempts)
    return Caller(client, journal, purse, terms.limits)


def asking_of(
    client: Client,
    journal: Journal,
    prompts: Prompts,
    config: Config,
    terms: Terms,
) -> Asking[Config]:
    """Return what asks a client on these terms.

    Raises:
        SettingsError: costs are capped, but the model's price is not known.
    """
    return Asking(caller_of(client, journal, terms), prompts, config)


def carry_out(client: Client, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what the work comes to, and close the client's connections.

    A notebook has an event loop that is running; there, a thread has one of its own.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_closing(client, work))
    with ThreadPoolExecutor(max_workers=1) as thread:
        context = copy_context()
        return thread.submit(context.run, asyncio.run, _closing(client, work)).result()


async def _closing(client: Client, work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return await work
    finally:
        await client.close()
