"""Kinds of jobs, a file each: what is asked for, what is done, and the same by hand.

A kind's `wish` is what a page has filled in; paths in it are of the folder that the app
works in, or absolute.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from xturing.core.events import Event
from xturing.core.registry import Registry
from xturing.core.settings import Settings
from xturing.ui.jobs.progress import Mark


class Kind(Protocol):
    """A kind of job."""

    wish: type[Settings]
    can_go_on: bool
    """Whether one that was stopped goes on where it was."""

    def run(self, wish: Any, *, is_resumed: bool) -> Mapping[str, Any]:
        """Do what is asked for, and return what came of it, as JSON has it."""
        ...

    def marks(self, event: Event) -> list[Mark]:
        """Return what to tell of an event; of most, nothing."""
        ...

    def command(self, wish: Any) -> list[str]:
        """Return the command that does the same."""
        ...

    def snippet(self, wish: Any) -> str:
        """Return the Python that does the same."""
        ...


KINDS: Registry[Kind] = Registry(
    "kind of job",
    "xturing.jobs",
    {
        name: f"xturing.ui.kinds.{name}:KIND"
        for name in ("finetune", "evaluate", "selfinstruct", "quantize", "export")
    },
)
