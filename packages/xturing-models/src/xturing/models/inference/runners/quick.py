"""Steps of one token per sequence, by a graph once enough of them have been taken.

Taking a graph down lasts some seconds, so an answer has to have got under way. Numbers
of sequences are filled up to powers of two, for which there is a graph each. A graph is
tried beside the plain way on the step at hand; where that fails, the plain way is kept.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from xturing.models.inference.runners.attending import Span, spans_are
from xturing.models.inference.runners.capturing import captured
from xturing.models.inference.runners.products import MOST_ROWS

logger = logging.getLogger(__name__)

PATIENCE = 16
"""Steps that are taken in the plain way before a graph is."""
WHOLE = 1e-3
"""How far apart float32 logits may be, as a share of the largest one."""

Kind = tuple[str | None, int]
"""What a graph is for: an adapter, and rows."""


@dataclass
class QuickSteps:
    """The graphs of a model."""

    model: Any
    _graphs: dict[Kind, Callable[[Tensor, Tensor], Tensor]] = field(
        default_factory=dict
    )
    _taken: Counter[Kind] = field(default_factory=Counter)
    _is_on: bool = True

    def __post_init__(self) -> None:
        self._is_on = _is_plain(self.model)

    def logits(
        self,
        spans: Sequence[Span],
        ids: Sequence[int],
        places: Sequence[int],
        plain: Callable[[], Tensor],
    ) -> Tensor:
        """Return logits of the wanted places, each span being one token.

        `plain` returns the same in the model's own way.
        """
        rows = 1 << (len(ids) - 1).bit_length()
        kind = spans[0].cache.adapter, rows
        if not self._is_on or rows > MOST_ROWS:
            return plain()
        if kind in self._graphs:
            return self._read(kind, spans, ids)[list(places)]
        logits = plain()
        self._taken[kind] += 1
        if self._taken[kind] > PATIENCE:
            self._add(kind, spans, ids, places, logits)
        return logits

    def close(self) -> None:
        """Give everything back."""
        self.model, self._is_on = None, False
        self._graphs.clear()

    def _read(self, kind: Kind, spans: Sequence[Span], ids: Sequence[int]) -> Tensor:
        filling = [0] * (kind[1] - len(ids))
        positions = [span.cache.length for span in spans]
        with spans_are(spans):
            return self._graphs[kind](
                torch.tensor([[*ids, *filling]]), torch.tensor([positions + filling])
            )[0]

    def _add(
        self,
        kind: Kind,
        spans: Sequence[Span],
        ids: Sequence[int],
        places: Sequence[int],
        wanted: Tensor,
    ) -> None:
        """Take a graph down, and keep it if it gives the wanted logits too."""
        try:
            with torch.inference_mode(mode=False):
                self._graphs[kind] = captured(self.model, kind[1])
            # Keys and values are written to where the plain step has put the same.
            found = self._read(kind, spans, ids)[list(places)]
            error = float((found - wanted).abs().max() / wanted.abs().max())
            self._is_on = error <= WHOLE
            logger.debug("took a graph of %s, off by %.1g", kind, error)
        # What goes wrong in tracing has no common type.
        except Exception as error:  # noqa: BLE001
            self._is_on = False
            logger.info("no graph can be taken of the model: %s", error)
        if not self._is_on:
            self._graphs.clear()


def _is_plain(model: Any) -> bool:
    """Tell whether a model computes in float32 on a processor, as graphs are made for.

    Packed weights are among its buffers; their codes are of other types.
    """
    weights, held = [*model.parameters()], [*model.parameters(), *model.buffers()]
    return all(each.dtype == torch.float32 for each in weights) and all(
        type(each) in (nn.Parameter, Tensor) and each.device.type == "cpu"
        for each in held
    )
