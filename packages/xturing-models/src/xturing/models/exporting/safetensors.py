"""A Hugging Face folder that transformers opens where xTuring is not installed."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xturing.models.exporting.exporter import Reopened
from xturing.models.exporting.whole import write_generation_config
from xturing.models.folders import read_folder
from xturing.models.quiet import without_progress_bars

if TYPE_CHECKING:
    from xturing.models.base import BaseModel


class Safetensors:
    """Dense weights, the tokenizer, its chat template, and `xturing.json`."""

    schemes: Sequence[str] = ()
    rounded: Sequence[str] = ()

    def write(self, model: "BaseModel", folder: Path, scheme: str | None) -> None:
        """Write the folder as `BaseModel.save` does, its end tokens complete."""
        model.write_to(folder)
        write_generation_config(model, folder)

    def reopen(self, folder: Path, model: "BaseModel") -> Reopened:
        """Return the folder's model as transformers opens it."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        card = read_folder(folder).card
        options: dict[str, Any] = {
            "local_files_only": True,
            "trust_remote_code": card is not None and card.trust_remote_code,
        }
        with without_progress_bars():
            opened: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=model.engine.model.dtype, **options
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        return Reopened(opened.to(model.engine.device.name), tokenizer)
