"""Classes for variants, such as `GPT2Lora`: made when asked for, none written out."""

from pathlib import Path
from typing import Any

from xturing.models.base import BaseModel
from xturing.models.variant import Variant


def door(class_name: str) -> type[BaseModel] | None:
    """Return a class whose call creates the variant of that class name, if any."""
    variant = Variant.of_class(class_name)
    if variant is None or variant.family.checkpoint is None:
        return None
    return _class(variant)


def _class(variant: Variant) -> type[BaseModel]:
    def __init__(  # noqa: N807
        self: BaseModel, weights_path: str | Path | None = None, **options: Any
    ) -> None:
        BaseModel.__init__(self, variant.name, weights_path=weights_path, **options)

    doc = f"The model '{variant.name}'."
    return type(
        variant.class_name, (BaseModel,), {"__init__": __init__, "__doc__": doc}
    )
