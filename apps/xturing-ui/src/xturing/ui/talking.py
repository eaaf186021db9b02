"""Models that are open for chatting: few at once, shared by all windows."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

from xturing.core.errors import BusyError

if TYPE_CHECKING:
    from xturing.models import BaseModel
    from xturing.models.inference import Decoding, Engine

MOST = 3
"""Models that are open at once."""
Turn = dict[str, str]


@dataclass(frozen=True)
class Talker:
    """A model, and what computes its answers."""

    model: "BaseModel"
    engine: "Engine"

    @property
    def decoding(self) -> "Decoding":
        """How the model's own settings choose tokens."""
        from xturing.models.inference import Decoding

        own = Decoding.of(self.model.generation_config())
        if self.engine.capabilities.contrastive_search:
            return own
        return replace(own, penalty_alpha=None)

    def answer(self, messages: Sequence[Turn], decoding: "Decoding") -> Iterator[str]:
        """Yield the answer to a conversation as it is written.

        To leave the iteration early is to stop the answer.
        """
        from xturing.models.generation import prompt_tokens
        from xturing.models.inference import Request, stream

        prompt = prompt_tokens(self.engine.tokenizer, list(messages))
        request = Request(prompt=tuple(prompt), decoding=decoding)
        for piece in stream(self.engine, request):
            if piece.text:
                yield piece.text


class Talkers:
    """Open models by name; the one that was not used for longest goes first."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, str], Talker] = OrderedDict()
        self._lock = Lock()

    def open(self, reference: str, engine: str = "auto") -> Talker:
        """Return a model that is open, or open it.

        Raises:
            ModelError: it cannot be opened.
            BusyError: as many as there may be are open, and all are answering.
        """
        from xturing.models import open_model
        from xturing.models.inference import open_engine

        # One after the other: two that load at once need twice the memory.
        with self._lock:
            known = self._open.get((reference, engine))
            if known is None:
                self._make_room()
                model = open_model(reference)
                known = Talker(model, open_engine(model, engine))
            self._open[reference, engine] = known
            self._open.move_to_end((reference, engine))
            return known

    def able(self, reference: str, decoding: "Decoding") -> Talker:
        """Return a model that can choose tokens in a way, by another engine if needed.

        Raises:
            ModelError: it cannot be opened.
        """
        talker = self.open(reference)
        can = talker.engine.capabilities.contrastive_search
        if decoding.penalty_alpha is None or can:
            return talker
        return self.open(reference, "torch")

    def close(self) -> None:
        """Close all."""
        with self._lock:
            for talker in self._open.values():
                talker.engine.close()
            self._open.clear()

    def _make_room(self) -> None:
        if len(self._open) < MOST:
            return
        for key, talker in self._open.items():
            load = talker.engine.load()
            if not load.running and not load.waiting:
                talker.engine.close()
                del self._open[key]
                return
        raise BusyError(
            f"{MOST} models are open, and all of them are answering. Wait for one."
        )
