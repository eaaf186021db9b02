"""What every stage has: prompts, someone to ask, and a list of what was left out."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from xturing.core.events import tell
from xturing.selfinstruct.calling import Caller
from xturing.selfinstruct.events import StageMoved
from xturing.selfinstruct.exchange import Reply, Request, Turn
from xturing.selfinstruct.prompts import Prompts
from xturing.selfinstruct.rejections import Rejections
from xturing.selfinstruct.settings import AskingConfig

Item = TypeVar("Item")
Config = TypeVar("Config", bound=AskingConfig)


@dataclass(frozen=True)
class Asking(Generic[Config]):
    """A way to ask, and what was not taken of the answers."""

    caller: Caller
    prompts: Prompts
    config: Config
    rejections: Rejections = field(default_factory=Rejections)

    def request(
        self,
        stage: str,
        *,
        max_tokens: int,
        template: str | None = None,
        sample: int = 0,
        is_exact: bool = False,
        **values: Any,
    ) -> Request:
        """Return the request that a template makes of values.

        The template is named as the stage is, unless it is given. What is `is_exact`
        gets the likeliest answer.
        """
        prompt = self.prompts.render(template or stage, **values)
        return Request(
            stage=stage,
            messages=(Turn("user", prompt),),
            max_tokens=max_tokens,
            temperature=self._temperature(is_exact),
            top_p=None if is_exact else self.config.top_p,
            sample=sample,
        )

    def _temperature(self, is_exact: bool) -> float | None:
        chosen = self.config.temperature
        return chosen if chosen is None or not is_exact else 0.0

    async def replies(self, requests: Sequence[Request]) -> list[Reply | None]:
        """Return the answers in order; None from where a cap was reached."""
        return await self.caller.replies(requests)

    async def each(
        self,
        stage: str,
        items: Sequence[tuple[Item, Request]],
        accepted: Callable[[], int],
    ) -> AsyncIterator[tuple[Item, Reply]]:
        """Yield items with the answers to their requests, a batch at a time.

        Those that a cap leaves without an answer are left out. `accepted` counts what
        was taken so far, to be told.
        """
        size = self.config.request_batch_size
        for first in range(0, len(items), size):
            batch = items[first : first + size]
            replies = await self.replies([request for _, request in batch])
            for (item, _), reply in zip(batch, replies, strict=True):
                if reply is not None:
                    yield item, reply
            tell(
                StageMoved(
                    stage=stage,
                    done=min(first + size, len(items)),
                    total=len(items),
                    accepted=accepted(),
                    rejected=self.rejections.count(stage),
                )
            )
