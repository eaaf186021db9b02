"""The settings that a model brings along, by its name or folder, without opening it."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xturing.core.settings import Layer, Settings

if TYPE_CHECKING:
    from xturing.models import Variant
    from xturing.models.folders import Card

Kind = Literal["finetuning", "generation"]

PLACES = {"output_dir", "encoding_cache", "devices", "num_nodes", "strategy"}
"""Where a run was written, and took place: no property of the model that it made."""


def model_settings(model: str, kind: Kind) -> Settings:
    """Return a model's own settings of a kind, each with who set it.

    Raises:
        UnknownNameError: there is no such model.
        ModelError: its folder holds none.
    """
    from xturing.models import Variant
    from xturing.models.folders import read_folder

    path = Path(model).expanduser()
    if not path.is_dir():
        return _of_variant(Variant.parse(model), kind)
    card = read_folder(path).card
    own = _of_variant(Variant.parse(card.model_name if card else "generic"), kind)
    return own if card is None else own.layered(_saved(card, own, kind))


def _of_variant(variant: "Variant", kind: Kind) -> Settings:
    if kind == "generation":
        return variant.generation_config()
    return variant.finetuning_config()


def _saved(card: "Card", own: Settings, kind: Kind) -> Layer:
    """Return what a saved folder says, as far as there still are such settings."""
    from xturing.models import legacy

    told = card.generation_config if kind == "generation" else card.finetuning_config
    known = own.model_dump().keys() - PLACES
    values = {name: told[name] for name in told if name in known}
    if card.is_legacy:
        values = legacy.accepted(type(own), values)
    return Layer(source="saved model", values=values)
