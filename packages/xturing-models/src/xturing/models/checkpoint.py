"""A model and its tokenizer in memory, opened from a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xturing.core.errors import ModelError
from xturing.core.files import read_json
from xturing.models import template
from xturing.models.device import Device
from xturing.models.family import SpecialTokens
from xturing.models.hub import Location
from xturing.models.quantization import Quantization, found_in, reconciled
from xturing.models.quiet import without_progress_bars
from xturing.models.weights import MODEL, refuse_broken


@dataclass
class Checkpoint:
    """A causal language model with its tokenizer.

    `model` is a transformers model, or a peft one around it once it has an adapter.
    """

    model: Any
    tokenizer: Any
    device: Device
    quantization: Quantization | None = None
    """How the weights are quantized; None: they are whole."""

    @property
    def pad_id(self) -> int:
        """The id that fills batches up; attention never looks at it."""
        if self.tokenizer.pad_token_id is not None:
            return self.tokenizer.pad_token_id
        return self.tokenizer.eos_token_id or 0

    @property
    def context_length(self) -> int | None:
        """Most tokens the model can read, where its architecture sets a limit."""
        return getattr(self.model.config, "max_position_embeddings", None)


def open_checkpoint(
    location: Location,
    device: Device,
    *,
    tokenizer_folder: Path | None = None,
    chat_template: str = "plain",
    tokens: SpecialTokens | None = None,
    trust_remote_code: bool = False,
    quantization: Quantization | None = None,
) -> Checkpoint:
    """Load a folder's weights and tokenizer, without touching a network.

    `chat_template` is installed where the tokenizer has none. With `quantization`, the
    weights are packed one by one as they are read, unless they are packed already.

    Raises:
        ModelError: the folder cannot be opened, or its weights are quantized otherwise.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from xturing.models import packing

    refuse_broken(location.folder, MODEL)
    there = found_in(_config(location.folder))
    loading: dict[str, Any] = {}
    if there is not None:
        wanted = quantization or there
        quantization = reconciled(there, wanted, location.folder)
        loading = packing.reopening_options(there, device.name)
    elif quantization is not None:
        quantization = packing.settled(quantization, device.name)
        loading = packing.loading_options(quantization, device.name)
    options = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    folder = tokenizer_folder or location.folder
    try:
        with without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
            model: Any = AutoModelForCausalLM.from_pretrained(
                location.folder, dtype=device.dtype, **options, **loading
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{location.folder} cannot be opened as a causal language model: {error}"
        ) from error
    if tokens is not None:
        tokenizer.eos_token, tokenizer.pad_token = tokens.eos, tokens.pad
    if tokenizer.chat_template is None:
        template.install(tokenizer, chat_template)
    if "device_map" not in loading:
        model = model.to(device.name)
    packing.finish(model)
    return Checkpoint(model, tokenizer, device, quantization)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    values = read_json(path) if path.is_file() else {}
    return values if isinstance(values, dict) else {}
