"""An exported model beside the original: first choices, logits and token ids."""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from xturing.core.errors import ModelError
from xturing.models.fidelity import bundled_rows
from xturing.models.template import GOLDEN

if TYPE_CHECKING:
    from xturing.models.base import BaseModel
    from xturing.quant import Fidelity

WINDOWS = 3
"""Windows of the bundled text that are compared."""
PROBES = (
    "In 2024, 365 days (52 weeks)  had\ttwo  spaces.\n\n  And an indented line!",
    "C'est l'été à Zürich; 東京は暑い。 naïve café, I'll say we've 1,234.5 🙂",
)
"""Texts that tell ways of splitting words, digits and spaces apart."""


def compared(
    original: "BaseModel", made: nn.Module, longest: int | None = None
) -> "tuple[Fidelity, float]":
    """Return how far logits are from the original's, and the largest difference.

    The difference is a share of the original's largest logit. Texts of `longest` tokens
    at most are read.
    """
    from xturing.quant import report

    model = original.engine.model
    beside = _Beside(made)
    hook = model.register_forward_hook(beside.remember)
    try:
        rows = [
            row[:, :longest]
            for row in bundled_rows(original)[:WINDOWS]
            if isinstance(row, Tensor)
        ]
        return report(model, beside, rows), beside.difference
    finally:
        hook.remove()


def refuse_other_ids(tokenizer: Any, reopened: Any, where: Path) -> None:
    """Raise `ModelError` if two tokenizers read the same texts differently."""
    bundled = (files("xturing.models") / "texts" / "general.txt").read_text("utf-8")
    golden = [
        tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        for messages in GOLDEN
    ]
    for text in (*PROBES, *golden, bundled):
        wanted, found = (
            list(each(text, add_special_tokens=False)["input_ids"])
            for each in (tokenizer, reopened)
        )
        if wanted != found:
            raise ModelError(
                f"What was written to {where} reads {text[:40]!r}… as {len(found)} "
                f"tokens that are not the model's {len(wanted)}: its format cannot "
                "express this tokenizer. Do not use it; export as safetensors instead."
            )


class _Beside(nn.Module):
    """A model that is compared with what another one has just said."""

    def __init__(self, made: nn.Module) -> None:
        super().__init__()
        self.made = made
        self.difference = 0.0
        self._before: Tensor | None = None

    def remember(self, module: nn.Module, inputs: object, output: Any) -> None:
        """Take note of the original's logits."""
        self._before = output.logits.float()

    def forward(self, ids: Tensor) -> Tensor:
        """Return the made model's logits, having compared them."""
        logits = self.made(ids)
        logits = getattr(logits, "logits", logits).float()
        if self._before is not None:
            before = self._before.to(logits.device)
            error = (logits - before).abs().max() / before.abs().max()
            # A NaN is the largest difference that there is.
            largest = float(torch.nan_to_num(error, nan=torch.inf))
            self.difference = max(self.difference, largest)
        return logits
