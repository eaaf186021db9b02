"""Quantizing: a model in fewer bits, written only if it is as good."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from xturing.core.errors import QuantizationError
from xturing.core.events import Event
from xturing.core.settings import Settings
from xturing.models.fidelity import MOST_INCREASE
from xturing.ui.jobs.progress import Mark


class QuantizeWish(Settings):
    """What gets smaller, and how much that may cost."""

    model: str
    """A name or a folder; an adapter is merged first."""
    scheme: str
    """int8, int4, nf4, …"""
    output: str
    """Folder for the result."""
    max_loss_increase: float = Field(default=MOST_INCREASE, ge=0)
    """Nats a token; with a higher loss than that, nothing is written."""


class Quantize:
    """A model in fewer bits."""

    wish = QuantizeWish
    can_go_on = False

    def run(self, wish: QuantizeWish, *, is_resumed: bool) -> Mapping[str, Any]:
        """Quantize, compare with the original, and write what is as good.

        Raises:
            QuantizationError: too much was lost.
        """
        from xturing.core.files import refuse_used
        from xturing.models import open_model
        from xturing.models.fidelity import compare

        del is_resumed
        refuse_used(Path(wish.output))
        model = open_model(wish.model)
        model = model.merge() if model.has_adapter else model
        made = model.quantize(wish.scheme)
        found = compare(model, made)
        lost = found.loss_increase
        if lost is None or not lost <= wish.max_loss_increase:
            told = "no number" if lost is None else f"{lost:.4f} nats a token"
            raise QuantizationError(
                f"{wish.scheme} costs {told}, more than the limit of "
                f"{wish.max_loss_increase:g}, so nothing was written. Take a scheme "
                "that keeps more, or raise the limit."
            )
        made.save(wish.output)
        return {
            "output": wish.output,
            "figures": {
                "loss": f"{found.loss_before:.4f} -> {found.loss_after:.4f} nats",
                "same first choice": f"{found.top1_agreement:.1%} of the tokens",
                "divergence": f"{max(found.divergence, 0.0):.4f} nats a token (KL)",
                "size": (
                    f"{model.engine.size_in_bytes / 1e6:,.0f} -> "
                    f"{made.engine.size_in_bytes / 1e6:,.0f} MB"
                ),
            },
        }

    def marks(self, event: Event) -> list[Mark]:
        """Return nothing: it takes a minute."""
        del event
        return []

    def command(self, wish: QuantizeWish) -> list[str]:
        """Return the command that does the same."""
        limit = wish.max_loss_increase
        return [
            *("xturing", "quantize", "-m", wish.model, "--scheme", wish.scheme),
            *("-o", wish.output),
            *(() if limit == MOST_INCREASE else ("--max-loss-increase", f"{limit:g}")),
        ]

    def snippet(self, wish: QuantizeWish) -> str:
        """Return the Python that does the same."""
        return "\n".join(
            (
                "from xturing.models import open_model",
                "from xturing.models.fidelity import compare",
                "",
                f"model = open_model({wish.model!r})",
                "model = model.merge() if model.has_adapter else model",
                f"made = model.quantize({wish.scheme!r})",
                "lost = compare(model, made).loss_increase",
                f"assert lost <= {wish.max_loss_increase:g}",
                f"made.save({wish.output!r})",
            )
        )


KIND = Quantize()
