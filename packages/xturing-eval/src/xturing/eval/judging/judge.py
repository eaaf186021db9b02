"""A language model that judges, and how it is reached.

It is asked by a sibling package, which is found by its entry point; what it is asked,
and what its replies come to, is told elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from xturing.core.errors import DataError
from xturing.core.extras import service
from xturing.data.wording import brief


class Engine(Protocol):
    """A client of xturing-selfinstruct."""

    name: str
    """Of the provider, such as openai."""
    model: str


class Asker(Protocol):
    """A way to ask, as `xturing.selfinstruct.ask` does."""

    def __call__(
        self,
        engine: Any,
        prompts: Sequence[str],
        folder: str | Path | None,
        /,
        **terms: Any,
    ) -> list[str | None]:
        """Return the replies in order; None for what a cap left out."""
        ...


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A language model that judges."""

    engine: str | Engine
    """PROVIDER:MODEL, or a client."""
    folder: str | Path | None
    """Where the replies are kept; None: nowhere."""
    asker: Asker | None = None
    """None: xturing-selfinstruct's."""
    terms: Mapping[str, Any]
    """Caps, limits and the like, as the asker takes them."""

    @property
    def name(self) -> str:
        """The provider and the model."""
        engine = self.engine
        return engine if isinstance(engine, str) else f"{engine.name}:{engine.model}"

    def replies(self, prompts: Sequence[str]) -> list[str | None]:
        """Return the replies in order; None for what a cap left out.

        Raises:
            MissingDependencyError: xturing-selfinstruct is not installed.
            XTuringError: as `xturing.selfinstruct.ask` does.
        """
        ask = self.asker or service(
            "xturing.askers", "journalled", "xturing-selfinstruct"
        )
        return ask(self.engine, prompts, self.folder, **self.terms)

    def nothing_decided(self, unread: Sequence[str | None], ending: str) -> DataError:
        """Return the error for replies of which none came to anything."""
        reply = next((reply for reply in unread if reply is not None), None)
        if reply is None:
            return DataError(
                f"{self.name} decided nothing, because a cap left its replies out. "
                "Raise max_requests, max_tokens or max_cost; the same call goes on "
                "from here."
            )
        return DataError(
            f"{self.name} decided nothing: no reply ends with a line like '{ending}'. "
            f"The first is {brief(reply)}. Take a model that follows instructions, or "
            "raise max_answer_tokens if replies are cut off."
        )
