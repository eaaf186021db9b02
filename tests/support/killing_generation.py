"""A program that kills runs of Self-Instruct at random moments, and goes on each time.

It takes a folder with `seeds.jsonl` and `replies.jsonl`, and how many kills, and writes
how many there were. Beside the folder of each run, `….calls` has the keys of all
requests that were sent.
"""

import asyncio
import importlib
import sys
from pathlib import Path

import lives

from xturing.selfinstruct import (
    Limits,
    Reply,
    Request,
    SelfInstructConfig,
    Terms,
    generate,
)
from xturing.selfinstruct.clients.scripted import Scripted

CONCURRENCY = 4
CONFIG = SelfInstructConfig(num_instructions=200)


class Noted(Scripted):
    """A scripted client that takes a moment, and notes what it is asked."""

    def __init__(self, model: Path, notes: Path) -> None:
        super().__init__(model)
        self._notes = notes

    async def complete(self, request: Request) -> Reply:
        key = request.key(f"{self.name}:{self.model}")
        with self._notes.open("a") as notes:
            notes.write(f"{key}\n")
        await asyncio.sleep(0.005)
        return await super().complete(request)


def make(place: Path, folder: Path) -> None:
    """Go on with the run in a folder."""
    client = Noted(place / "replies.jsonl", folder.with_suffix(".calls"))
    terms = Terms(limits=Limits(concurrency=CONCURRENCY))
    generate(place / "seeds.jsonl", client, folder, CONFIG, terms)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    # What each life would have to import is imported once, in the parent.
    importlib.import_module("matplotlib.figure")
    importlib.import_module("matplotlib.backends.backend_agg")
    # A run's card is its last file.
    done = lives.kill_often(
        place, lambda folder: make(place, folder), "README.md", int(sys.argv[2])
    )
    sys.stdout.write(f"{done}\n")
