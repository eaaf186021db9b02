"""A saved model: an ordinary Hugging Face folder and `xturing.json`.

With an adapter, the folder holds the adapter as peft writes it and no base weights.
Other tools open both without this library; `xturing.json` is what this one adds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from xturing.core.errors import DataError, ModelError
from xturing.core.files import read_json, sha256

CARD_FILE = "xturing.json"
ADAPTER_FILE = "adapter_config.json"
SCHEMA_VERSION = 1


class Base(BaseModel):
    """Which checkpoint a model started from."""

    checkpoint: str
    """Hub id or path."""
    revision: str | None = None
    """Commit on the hub, or the SHA-256 of the file it was made from."""


class Card(BaseModel):
    """What `xturing.json` holds."""

    # The predecessor's files have less, and later ones may have more.
    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    schema_version: int = 0
    model_name: str
    engine_name: str | None = None
    """Hub id or path of the base, where the predecessor wrote it."""
    base: Base | None = None
    finetuning_config: dict[str, Any] = {}
    generation_config: dict[str, Any] = {}
    template: dict[str, Any] | None = None
    """The chat template's hash and golden prompts."""
    quantization: dict[str, Any] | None = None
    """How the weights, or an adapter's base, are quantized."""
    training_data: str | None = None
    """What the rows are called that the model was last tuned on, as the user did."""
    files: dict[str, str] = {}
    """SHA-256 of the weight files."""
    trust_remote_code: bool = False

    @property
    def is_legacy(self) -> bool:
        """Whether the predecessor wrote it."""
        return self.schema_version == 0


@dataclass(frozen=True)
class Folder:
    """A folder that holds a model."""

    path: Path
    card: Card | None
    """None for a folder that this library did not write."""
    has_adapter: bool


def read_folder(path: Path) -> Folder:
    """Return what a folder holds.

    Raises:
        ModelError: it is missing, holds no model, or its `xturing.json` is broken.
    """
    if not path.is_dir():
        raise ModelError(f"There is no model folder {path}.")
    has_adapter = (path / ADAPTER_FILE).is_file()
    card = _card(path / CARD_FILE) if (path / CARD_FILE).is_file() else None
    if card is None and not has_adapter and not (path / "config.json").is_file():
        raise ModelError(
            f"No {CARD_FILE} found in {path}, nor a config.json or {ADAPTER_FILE}: it "
            "is no saved model."
        )
    return Folder(path, card, has_adapter)


def weight_files(path: Path) -> list[Path]:
    """Return the weight files in a folder."""
    return sorted(path.glob("*.safetensors"))


def refuse_changed(folder: Folder) -> None:
    """Raise `ModelError` if a weight file is not as it was written."""
    for name, digest in (folder.card.files if folder.card else {}).items():
        file = folder.path / name
        if not file.is_file():
            raise ModelError(f"{file} is missing; copy the folder as a whole.")
        if sha256(file) != digest:
            raise ModelError(
                f"{file} is damaged: its checksum is not the one in {CARD_FILE}. Copy "
                "it again from where it came from, or save the model anew."
            )


def adapter_base(path: Path) -> str:
    """Return the base that a peft adapter names.

    Raises:
        ModelError: it names none.
    """
    config = read_json(path / ADAPTER_FILE)
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not base:
        raise ModelError(
            f"{path / ADAPTER_FILE} does not name the adapter's base model. "
            "Pass it: BaseModel.load(path, base='<folder or hub id>')."
        )
    return str(base)


def _card(path: Path) -> Card:
    try:
        card = Card.model_validate(read_json(path))
    except (DataError, ValidationError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if card.schema_version > SCHEMA_VERSION:
        raise ModelError(
            f"{path} was written by a later version of xTuring (schema "
            f"{card.schema_version}; this one reads up to {SCHEMA_VERSION}). "
            "Upgrade with: pip install --upgrade xturing-models"
        )
    return card
