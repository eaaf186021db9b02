"""Open language models by name: load, adapt with LoRA, generate, save.

Beside the names below there is a class for each variant, such as `GPT2Lora`.
"""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.models.base import BaseModel, open_model
    from xturing.models.engine_keys import BaseEngine
    from xturing.models.family import Family, families
    from xturing.models.generic import (
        GenericInt1Model,
        GenericInt2Model,
        GenericInt3Model,
        GenericInt4Model,
        GenericInt8Model,
        GenericKbitModel,
        GenericLoraInt1Model,
        GenericLoraInt2Model,
        GenericLoraInt3Model,
        GenericLoraInt4Model,
        GenericLoraInt8Model,
        GenericLoraKbitModel,
        GenericLoraModel,
        GenericModel,
    )
    from xturing.models.settings import FinetuningConfig, GenerationConfig
    from xturing.models.variant import Variant

__all__ = [
    "BaseEngine",
    "BaseModel",
    "Family",
    "FinetuningConfig",
    "GenerationConfig",
    "GenericInt1Model",
    "GenericInt2Model",
    "GenericInt3Model",
    "GenericInt4Model",
    "GenericInt8Model",
    "GenericKbitModel",
    "GenericLoraInt1Model",
    "GenericLoraInt2Model",
    "GenericLoraInt3Model",
    "GenericLoraInt4Model",
    "GenericLoraInt8Model",
    "GenericLoraKbitModel",
    "GenericLoraModel",
    "GenericModel",
    "Variant",
    "families",
    "open_model",
]

_exported = exports(
    __name__,
    BaseEngine="engine_keys",
    BaseModel="base",
    Family="family",
    FinetuningConfig="settings",
    GenerationConfig="settings",
    Variant="variant",
    families="family",
    open_model="base",
    **{name: "generic" for name in __all__ if name.startswith("Generic")},
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
