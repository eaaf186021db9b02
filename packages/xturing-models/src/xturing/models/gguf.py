"""GGUF files, read so that the model can be saved as any other.

transformers reads GGUF in half a minute and marks the model as one that must not be
saved. The weights are dense by then, so the marks are dropped.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from xturing.core.errors import ModelError


def read_gguf(file: Path) -> tuple[Any, Any]:
    """Return the model and the tokenizer of a GGUF file.

    Raises:
        ModelError: it cannot be read.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = {"gguf_file": file.name, "local_files_only": True}
    try:
        with _silent_reader():
            tokenizer = AutoTokenizer.from_pretrained(file.parent, **options)
            model: Any = AutoModelForCausalLM.from_pretrained(
                file.parent, dtype=torch.float32, **options
            )
    except (ValueError, KeyError, OSError) as error:
        raise ModelError(f"{file} cannot be read as a GGUF model: {error}") from error
    model.hf_quantizer = None
    for mark in ("is_quantized", "quantization_method"):
        model.__dict__.pop(mark, None)
    del model.config.quantization_config
    model.config.architectures = [type(model).__name__]
    return model, tokenizer


@contextmanager
def _silent_reader() -> Iterator[None]:
    """Keep the GGUF reader's own bar, which heeds no switch, off the terminal."""
    reader = import_module("transformers.modeling_gguf_pytorch_utils")
    bar = reader.tqdm
    vars(reader)["tqdm"] = partial(bar, disable=True)
    try:
        yield
    finally:
        vars(reader)["tqdm"] = bar
