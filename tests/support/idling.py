"""A kind of job for tests: it counts, waits or fails, and needs no model."""

import time
from collections.abc import Mapping
from typing import Any

from xturing.core.errors import DataError
from xturing.core.events import Event, Notice, tell
from xturing.core.settings import Settings
from xturing.ui.jobs.progress import Mark

TICK = 0.02


class IdleWish(Settings):
    """How long, and how it ends."""

    ticks: int = 3
    ends: str = "well"


class Idle:
    """Counts ticks."""

    wish = IdleWish
    can_go_on = True

    def run(self, wish: IdleWish, *, is_resumed: bool) -> Mapping[str, Any]:
        for tick in range(wish.ticks):
            tell(Notice(text=f"tick {tick}"))
            time.sleep(TICK)
        if wish.ends == "refused":
            raise DataError("Row 3 has no answer.")
        if wish.ends == "broken":
            raise ZeroDivisionError("one by nothing")
        return {"ticks": wish.ticks, "was_resumed": is_resumed}

    def marks(self, event: Event) -> list[Mark]:
        return []

    def command(self, wish: IdleWish) -> list[str]:
        return ["sleep", str(wish.ticks * TICK)]

    def snippet(self, wish: IdleWish) -> str:
        return f"time.sleep({wish.ticks * TICK})"


KIND = Idle()
