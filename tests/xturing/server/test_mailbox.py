"""How what an engine tells comes to an event loop."""

import asyncio
from types import SimpleNamespace
from typing import Any

from xturing.models.inference.requests import Piece
from xturing.server.answering import Mailbox, Told


def test_one_wake_up_brings_all_that_was_told_in_one_go_in_order():
    calls: list[Any] = []
    loop: Any = SimpleNamespace(call_soon_threadsafe=calls.append)
    mailbox, queue = Mailbox(loop), asyncio.Queue[Told]()
    for number in range(16):
        mailbox.put(queue, (number, Piece("")))
    for deliver in calls:
        deliver()
    assert len(calls) == 1
    assert [queue.get_nowait()[0] for _ in range(queue.qsize())] == list(range(16))


def test_what_is_told_after_a_delivery_is_delivered_too():
    calls: list[Any] = []
    loop: Any = SimpleNamespace(call_soon_threadsafe=calls.append)
    mailbox, queue = Mailbox(loop), asyncio.Queue[Told]()
    for number in range(2):
        mailbox.put(queue, (number, Piece("")))
        calls.pop()()
    assert queue.qsize() == 2


def test_what_is_told_to_a_closed_loop_harms_nobody():
    loop = asyncio.new_event_loop()
    loop.close()
    queue = asyncio.Queue[Told]()
    Mailbox(loop).put(queue, (0, Piece("late")))
    assert queue.empty()
