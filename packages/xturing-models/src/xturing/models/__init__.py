"""Open language models by name: load, adapt with LoRA, generate, save.

Beside the names below there is a class for each variant, such as `GPT2Lora`.
"""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.models.base import BaseModel, open_model
    from xturing.models.family import Family, families
    from xturing.models.generic import GenericLoraModel, GenericModel
    from xturing.models.settings import FinetuningConfig, GenerationConfig
    from xturing.models.variant import Variant

__all__ = [
    "BaseModel",
    "Family",
    "FinetuningConfig",
    "GenerationConfig",
    "GenericLoraModel",
    "GenericModel",
    "Variant",
    "families",
    "open_model",
]

_exported = exports(
    __name__,
    BaseModel="base",
    Family="family",
    FinetuningConfig="settings",
    GenerationConfig="settings",
    GenericLoraModel="generic",
    GenericModel="generic",
    Variant="variant",
    families="family",
    open_model="base",
)


def __getattr__(name: str) -> object:
    if name in __all__ or not name[:1].isupper():
        return _exported(name)
    from xturing.models.doors import door

    found = door(name)
    if found is None:
        return _exported(name)
    globals()[name] = found
    return found
