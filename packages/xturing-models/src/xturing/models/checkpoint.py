"""A model and its tokenizer in memory, opened from a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xturing.core.errors import ModelError
from xturing.models import template
from xturing.models.device import Device
from xturing.models.family import SpecialTokens
from xturing.models.hub import Location
from xturing.models.quiet import without_progress_bars

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
) -> Checkpoint:
    """Load a folder's weights and tokenizer, without touching a network.

    `chat_template` is installed where the tokenizer has none.

    Raises:
        ModelError: the folder cannot be opened.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    folder = tokenizer_folder or location.folder
    try:
        with without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
            model: Any = AutoModelForCausalLM.from_pretrained(
                location.folder,
                dtype=device.dtype,
                **_text_part(location.folder, options),
                **options,
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{location.folder} cannot be opened as a causal language model: {error}"
        ) from error
    if tokens is not None:
        tokenizer.eos_token, tokenizer.pad_token = tokens.eos, tokens.pad
    if tokenizer.chat_template is None:
        template.install(tokenizer, chat_template)
    return Checkpoint(model.to(device.name), tokenizer, device)


def _text_part(folder: Path, options: dict[str, Any]) -> dict[str, Any]:
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
