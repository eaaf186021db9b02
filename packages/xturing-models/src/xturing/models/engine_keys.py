"""The predecessor's keys of engines, such as "gpt2_lora_engine", and where they lead.

An engine of xTuring 0.1 held a network and its tokenizer. A model's `engine` does so
today, and its key is the model's name with `_engine` after it.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xturing.core.errors import UnknownNameError
from xturing.core.names import suggestion
from xturing.models.base import MODELS, BaseModel
from xturing.models.variant import Variant

if TYPE_CHECKING:
    from xturing.models.checkpoint import Checkpoint

SUFFIX = "_engine"
IRREGULAR = {
    "gpt2_engine_int8": "gpt2_int8",
    "gpt2_lora_engine_int8": "gpt2_lora_int8",
    "generic_engine_int8": "generic_int8",
    "generic_lora_engine_int8": "generic_lora_int8",
    "generic+lora_kbit_engine": "generic_lora_kbit",
}
"""Keys that 0.1 wrote otherwise, and their models."""


class BaseEngine:
    """The door to engines by the predecessor's keys; there is none without a model."""

    @classmethod
    def create(cls, key: str, **options: Any) -> "Checkpoint":
        """Return the `engine` of the model that a key names.

        The options are those of `BaseModel`.

        Raises:
            UnknownNameError: there is no such key; the message has the nearest ones.
        """
        return BaseModel.create(model_name(key), **options).engine


def model_name(key: str) -> str:
    """Return the name of the model whose engine a key stands for.

    Raises:
        UnknownNameError: there is no such key; the message has the nearest ones.
    """
    name = IRREGULAR.get(key) or key.removesuffix(SUFFIX)
    if name == key or not (name in MODELS or Variant.find(name)):
        raise UnknownNameError(
            f"There is no engine '{key}'. {suggestion(key, _keys())} A key is a "
            f"model's name and '{SUFFIX}'; `xturing models` lists the names."
        )
    return name


def _keys() -> Iterator[str]:
    yield from IRREGULAR
    yield from (f"{name}{SUFFIX}" for name in MODELS)
    for variant in Variant.all():
        for family in (variant.family.name, *variant.family.aliases):
            yield f"{variant.spelt(family)}{SUFFIX}"
