"""A model and its tokenizer in memory, opened from a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xturing.core.errors import ModelError
from xturing.core.files import read_json
from xturing.models.device import Device
from xturing.models.family import Family
from xturing.models.hub import Location
from xturing.models.quantization import Quantization, found_in, reconciled
from xturing.models.quiet import without_progress_bars
from xturing.models.tokenizers import load_tokenizer
from xturing.models.weights import MODEL, refuse_broken

SEEING = {"gemma3", "mistral3"}
"""Model types that read images too; of these, the part for text is opened."""
TEXT_NAMES = {
    r"^(model\.)?language_model\.(model\.)?(?!lm_head)": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
}
"""What that part's weights are called in a checkpoint, and what in a model of text."""


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
    def size_in_bytes(self) -> int:
        """Bytes of the parameters and buffers, tied ones counted once."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        return sum({id(tensor): tensor.nbytes for tensor in tensors}.values())

    @property
    def context_length(self) -> int | None:
        """Most tokens the model can read, where its architecture sets a limit."""
        return getattr(self.model.config, "max_position_embeddings", None)


def open_checkpoint(
    location: Location,
    device: Device,
    *,
    tokenizer_folder: Path | None = None,
    family: Family,
    chat_template: str | None = None,
    trust_remote_code: bool = False,
    quantization: Quantization | None = None,
) -> Checkpoint:
    """Load a folder's weights and tokenizer, without touching a network.

    `chat_template` takes the place of the tokenizer's own. With `quantization`, the
    weights are packed one by one as they are read, unless they are packed already.

    Raises:
        ModelError: the folder cannot be opened, or its weights are quantized otherwise.
    """
    from transformers import AutoModelForCausalLM

    from xturing.models import packing

    refuse_broken(location.folder, MODEL)
    options = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    quantization, loading = _loading(location.folder, device, quantization)
    folder = tokenizer_folder or location.folder
    try:
        with without_progress_bars(), packing.failing_with_reasons():
            tokenizer = load_tokenizer(
                folder, family, chat_template, trust_remote_code=trust_remote_code
            )
            model: Any = AutoModelForCausalLM.from_pretrained(
                location.folder,
                dtype=device.dtype,
                **text_part(location.folder, options),
                **options,
                **loading,
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{location.folder} cannot be opened as a causal language model: {error}"
        ) from error
    if "device_map" not in loading:
        model = model.to(device.name)
    packing.finish(model)
    return Checkpoint(model, tokenizer, device, quantization)


def _loading(
    folder: Path, device: Device, wanted: Quantization | None
) -> tuple[Quantization | None, dict[str, Any]]:
    """Return how weights will be quantized, and what makes `from_pretrained` do so."""
    from xturing.models import packing

    path = folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    there = found_in(config) if isinstance(config, dict) else None
    if there is not None:
        found = reconciled(there, wanted or there, folder)
        return found, packing.reopening_options(there, device.name)
    if wanted is None:
        return None, {}
    chosen = packing.settled(wanted, device.name)
    return chosen, packing.loading_options(chosen, device.name)


def text_part(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Return what has `from_pretrained` open only the text part of a seeing model."""
    from transformers import AutoConfig

    whole: Any = AutoConfig.from_pretrained(folder, **options)
    if whole.model_type not in SEEING:
        return {}
    text = whole.get_text_config()
    # Some name these beside the parts. Weights that are there twice and differ stay so.
    text.tie_word_embeddings = text.tie_word_embeddings or whole.tie_word_embeddings
    if getattr(whole, "quantization_config", None) is not None:
        text.quantization_config = whole.quantization_config
    return {"config": text, "key_mapping": TEXT_NAMES}
