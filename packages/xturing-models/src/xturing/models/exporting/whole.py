"""A model as other formats hold it: dense weights, no adapter, in this memory.

Also what is written beside the weights in most formats.
"""

from copy import copy, deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xturing.models.template import stop_ids

if TYPE_CHECKING:
    from xturing.models.base import BaseModel


def whole(model: "BaseModel") -> "BaseModel":
    """Return a model like this one that is merged and dequantized; this one stays."""
    from xturing.models.packing import dequantized
    from xturing.models.variant import Variant

    if model.has_adapter:
        return model.merged()
    if model.quantization is None:
        return model
    made = copy(model)
    dense = dequantized(deepcopy(model.engine.model))
    made.engine = replace(model.engine, model=dense, quantization=None)
    made.variant = Variant(model.variant.family)
    return made


def write_companions(model: "BaseModel", folder: Path) -> None:
    """Write the tokenizer, its chat template, and the model's two configurations."""
    model.engine.model.config.save_pretrained(folder)
    model.engine.tokenizer.save_pretrained(folder)
    write_generation_config(model, folder)


def write_generation_config(model: "BaseModel", folder: Path) -> None:
    """Write how the model writes, with every token that ends an answer."""
    from transformers import GenerationConfig

    config = model.generation_config()
    options: dict[str, Any] = {}
    if config.do_sample:
        # transformers has limits of its own where none is given.
        options = {
            "top_k": config.top_k or 0,
            "top_p": config.top_p or 1.0,
            "temperature": config.temperature or 1.0,
        }
    if config.repetition_penalty is not None:
        options["repetition_penalty"] = config.repetition_penalty
    GenerationConfig(
        do_sample=config.do_sample,
        bos_token_id=model.engine.tokenizer.bos_token_id,
        eos_token_id=stop_ids(model.engine.tokenizer),
        pad_token_id=model.engine.pad_id,
        **options,
    ).save_pretrained(folder)
