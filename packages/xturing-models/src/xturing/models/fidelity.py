"""How far a model is from the one it was made of, on text or on users' rows."""

from importlib.resources import files
from typing import TYPE_CHECKING

from xturing.core.errors import ModelError

if TYPE_CHECKING:
    from xturing.models.base import BaseModel
    from xturing.quant import Fidelity
    from xturing.quant.fidelity import Row

MOST_INCREASE = 0.1
"""Nats a token that a made model may lose: a tenth makes a text ten percent less likely
with every token."""
WINDOW = 256
"""Tokens of bundled text that are read at once."""


def compare(
    original: "BaseModel", made: "BaseModel", rows: "list[Row] | None" = None
) -> "Fidelity":
    """Return what making a model of another one did to it.

    Rows are token ids, or token ids and labels, of shape (1, seq); without them, some
    English prose that was written for this is used.

    Raises:
        ModelError: the models do not share a vocabulary.
    """
    from xturing.quant import report

    vocabularies = [model.engine.tokenizer.get_vocab() for model in (original, made)]
    if vocabularies[0] != vocabularies[1]:
        raise ModelError(
            f"'{original.config_name}' and '{made.config_name}' have different "
            "vocabularies, so there is no comparing what they say."
        )
    used = rows if rows is not None else bundled_rows(original)
    return report(original.engine.model, made.engine.model, used)


def bundled_rows(model: "BaseModel") -> "list[Row]":
    """Return the bundled text in windows of token ids of shape (1, seq)."""
    import torch

    text = (files("xturing.models") / "texts" / "general.txt").read_text("utf-8")
    ids = model.engine.tokenizer(text, add_special_tokens=False)["input_ids"]
    windows = [ids[start : start + WINDOW] for start in range(0, len(ids), WINDOW)]
    device = model.engine.device.name
    return [torch.tensor([w], device=device) for w in windows if len(w) > 1]
