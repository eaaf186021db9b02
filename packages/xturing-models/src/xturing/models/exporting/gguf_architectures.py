"""What GGUF files say of architectures, and how they lay out the weights.

An architecture is a row: the rest of this library knows nothing of their differences.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import ModelError

Weight = NDArray[np.float32]
ADVICE = "Export it as safetensors, which llama.cpp's own converter reads."


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How models of a type are written."""

    name: str
    """llama.cpp's."""
    activation: str
    """The only one that llama.cpp computes this architecture with."""
    describe: Callable[[Any, Any], None]
    """Adds a config's sizes to a writer."""
    laid_out: Callable[[Any, str, Weight], Weight]
    """Returns the weight of a GGUF name as llama.cpp multiplies it."""


def architecture_of(config: Any) -> Architecture:
    """Return how a model of a supported type is written.

    Raises:
        ModelError: it computes something that llama.cpp does not.
    """
    found = ARCHITECTURES[config.model_type]
    activation = getattr(config, "hidden_act", None) or config.activation_function
    if activation != found.activation:
        raise ModelError(
            f"The model's activation is {activation}, but llama.cpp computes "
            f"{config.model_type} with {found.activation}. {ADVICE}"
        )
    if getattr(config, "scale_attn_by_inverse_layer_idx", False):
        raise ModelError(
            "The model scales attention by the layer's number, which llama.cpp does "
            f"not. {ADVICE}"
        )
    return found


def rope_factors(model: Any) -> Weight | None:
    """Return what a llama's rotary frequencies are divided by; None: nothing.

    Raises:
        ModelError: they are scaled in another way than a file can say.
    """
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    kind = rope.get("rope_type", "default")
    if kind in ("default", "linear"):
        return None
    if kind != "llama3" or config.model_type not in ("llama", "mistral"):
        raise ModelError(
            f"The model's positions are scaled by '{kind}', which is not written for "
            f"{config.model_type}. {ADVICE}"
        )
    size = head_size(config)
    steps = np.arange(0, size, 2, dtype=np.float64) / size
    plain = 1 / rope["rope_theta"] ** steps
    scaled = model.get_decoder().rotary_emb.inv_freq.double().cpu().numpy()
    return (plain / scaled).astype(np.float32)


def head_size(config: Any) -> int:
    """Return how many numbers a head's query has."""
    given = getattr(config, "head_dim", None)
    return given or config.hidden_size // config.num_attention_heads


def _describe_llama(writer: Any, config: Any) -> None:
    size = head_size(config)
    rope = config.rope_parameters
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(context_length(config))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope.get("rope_type") == "linear":
        from gguf import RopeScalingType

        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])


def context_length(config: Any) -> int:
    """Return up to how many tokens llama.cpp computes what the model does.

    It has no sliding windows for these architectures, and up to the window there is no
    difference.
    """
    most = config.max_position_embeddings
    kinds = getattr(config, "layer_types", None)
    slides = kinds is None or any("sliding" in kind for kind in kinds)
    window = getattr(config, "sliding_window", None) if slides else None
    return min(most, window) if window else most


def _describe_gpt2(writer: Any, config: Any) -> None:
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.n_positions)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.n_inner or 4 * config.n_embd)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)


def _as_it_is(config: Any, name: str, weight: Weight) -> Weight:
    return weight


def _paired(config: Any, name: str, weight: Weight) -> Weight:
    """Put the halves of each head's rows in turns, as this rotation pairs them."""
    heads = {
        "attn_q": config.num_attention_heads,
        "attn_k": config.num_key_value_heads,
    }.get(name.split(".")[-2])
    if heads is None:
        return weight
    halves = weight.reshape(heads, 2, -1, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def _turned(config: Any, name: str, weight: Weight) -> Weight:
    """Turn the layers' weights, which a GPT-2 keeps as (in, out)."""
    is_layer = name.startswith("blk.") and weight.ndim == 2
    return np.ascontiguousarray(weight.T) if is_layer else weight


_LLAMA = Architecture(
    name="llama", activation="silu", describe=_describe_llama, laid_out=_paired
)
ARCHITECTURES: Mapping[str, Architecture] = {
    "gpt2": Architecture(
        name="gpt2",
        activation="gelu_new",
        describe=_describe_gpt2,
        laid_out=_turned,
    ),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": Architecture(
        name="qwen2", activation="silu", describe=_describe_llama, laid_out=_as_it_is
    ),
    "qwen3": Architecture(
        name="qwen3", activation="silu", describe=_describe_llama, laid_out=_as_it_is
    ),
}
"""By transformers' types of models."""
