"""A GGUF file, as llama.cpp and the programs around it read models.

Weights are written one by one, so that no second copy of the model is in memory.
Reopening goes through the reader of transformers. That one takes no note of some fields
(`UNREAD`), which are therefore taken from the model.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xturing.core.errors import ModelError
from xturing.models.exporting.exporter import Reopened, refuse_type
from xturing.models.exporting.gguf_architectures import (
    ARCHITECTURES,
    Architecture,
    Weight,
    architecture_of,
    rope_factors,
)
from xturing.models.exporting.gguf_vocabulary import write_vocabulary

if TYPE_CHECKING:
    from xturing.models.base import BaseModel

LONGEST_FLOAT16 = 65504.0
UNREAD = ("head_dim", "attention_bias", "mlp_bias", "n_positions")
KEPT_WHOLE = ("position_embd.weight", "rope_freqs.weight")
"""Weights, beside those of one dimension, that are always float32."""


class Gguf:
    """One file with the weights, the vocabulary and the chat template."""

    schemes: Sequence[str] = ("f16", "q8_0", "f32")
    rounded: Sequence[str] = ("f16", "q8_0")

    def write(self, model: "BaseModel", folder: Path, scheme: str | None) -> None:
        """Write `model-<scheme>.gguf`.

        Raises:
            ModelError: llama.cpp cannot compute the model or use its tokenizer.
        """
        import gguf

        refuse_type(model, list(ARCHITECTURES), "GGUF")
        config = model.engine.model.config
        architecture = architecture_of(config)
        writer = gguf.GGUFWriter(None, architecture.name)
        scheme = scheme or self.schemes[0]
        writer.add_type("model")
        writer.add_name(model.config_name)
        writer.add_file_type(_file_type(scheme))
        if scheme == "q8_0":
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        architecture.describe(writer, config)
        write_vocabulary(writer, model.engine.tokenizer, config.vocab_size)
        file = folder / f"model-{scheme}.gguf"
        _write_weights(writer, file, model.engine.model, architecture, scheme)

    def reopen(self, folder: Path, model: "BaseModel") -> Reopened:
        """Return the file's model and tokenizer as transformers reads them.

        Raises:
            ModelError: it cannot read the file.
        """
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

        file = gguf_file(folder)
        options: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
        own = model.engine.model.config
        try:
            # Its progress bar heeds no switch.
            with redirect_stderr(io.StringIO()):
                config: Any = AutoConfig.from_pretrained(folder, **options)
                for name in UNREAD:
                    if hasattr(own, name):
                        setattr(config, name, getattr(own, name))
                if getattr(own, "rope_parameters", None):
                    config.rope_parameters |= _scaling(own.rope_parameters)
                opened: Any = AutoModelForCausalLM.from_pretrained(
                    folder, config=config, dtype=model.engine.model.dtype, **options
                )
                tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        except (ValueError, KeyError, RuntimeError) as error:
            raise ModelError(
                f"transformers cannot read {file} again: {error}"
            ) from error
        moved = opened.to(model.engine.device.name)
        return Reopened(moved, tokenizer, config.max_position_embeddings)


def gguf_file(folder: Path) -> Path:
    """Return the GGUF file in a folder."""
    return next(folder.glob("*.gguf"))


def _file_type(scheme: str) -> int:
    from gguf import LlamaFileType

    return {
        "f32": LlamaFileType.ALL_F32,
        "f16": LlamaFileType.MOSTLY_F16,
        "q8_0": LlamaFileType.MOSTLY_Q8_0,
    }[scheme]


def _scaling(rope: dict[str, Any]) -> dict[str, Any]:
    """Return how positions are scaled, without what the file tells the reader."""
    return {name: value for name, value in rope.items() if name != "rope_theta"}


def _write_weights(
    writer: Any, file: Path, model: Any, architecture: Architecture, scheme: str
) -> None:
    from gguf.quants import quantize

    weights = list(_named_weights(model, architecture))
    kinds = [_kind(name, weight.shape, scheme) for name, weight in weights]
    for (name, weight), kind in zip(weights, kinds, strict=True):
        shape = _laid_out(model, architecture, name, weight).shape
        writer.add_tensor_info(
            name, shape, np.dtype(np.float32), _size(shape, kind), raw_dtype=kind
        )
    writer.write_header_to_file(path=file)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    try:
        for (name, weight), kind in zip(weights, kinds, strict=True):
            laid_out = _laid_out(model, architecture, name, weight)
            _refuse_too_large(laid_out, name, scheme)
            writer.write_tensor_data(quantize(laid_out, kind))
    finally:
        writer.close()


def _laid_out(model: Any, architecture: Architecture, name: str, weight: Any) -> Weight:
    dense = weight.detach().float().cpu().numpy()
    return architecture.laid_out(model.config, name, dense)


def _named_weights(model: Any, architecture: Architecture) -> Iterator[tuple[str, Any]]:
    """Yield the weights by their GGUF names, tied ones once.

    Raises:
        ModelError: llama.cpp has no place for a weight.
    """
    import gguf
    import torch

    kinds = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    layers = model.config.num_hidden_layers
    names = gguf.get_tensor_name_map(kinds[architecture.name], layers)
    factors = rope_factors(model)
    if factors is not None:
        yield "rope_freqs.weight", torch.from_numpy(factors)
    for name, weight in model.named_parameters():
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise ModelError(
                f"llama.cpp's {architecture.name} has no weight like {name}. Export "
                "the model as safetensors."
            )
        yield found, weight


def _kind(name: str, shape: Sequence[int], scheme: str) -> Any:
    """Return how a weight is kept: f16 where rows do not divide into blocks."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    if len(shape) == 1 or name in KEPT_WHOLE:
        return GGMLQuantizationType.F32
    kind = GGMLQuantizationType[scheme.upper()]
    block = GGML_QUANT_SIZES[kind][0]
    # A layout may turn a weight round.
    if any(size % block for size in shape):
        return GGMLQuantizationType.F16
    return kind


def _size(shape: Sequence[int], kind: Any) -> int:
    from gguf import GGML_QUANT_SIZES

    block, size = GGML_QUANT_SIZES[kind]
    return int(np.prod(shape)) // block * size


def _refuse_too_large(weight: Weight, name: str, scheme: str) -> None:
    """Raise `ModelError` if a weight is no number, or none of the scheme's."""
    largest = float(np.abs(weight).max())
    limit = np.finfo(np.float32).max if scheme == "f32" else LONGEST_FLOAT16
    if not largest <= limit:
        raise ModelError(
            f"The weight {name} reaches {largest:g}, which {scheme} cannot hold. Check "
            "the model, or choose the scheme f32."
        )
