"""How many bytes a model keeps of what it has read: keys and values, or a state."""

from typing import Any

FLOAT = 4


def cache_bytes(config: Any, length: int, item: int) -> int:
    """Return the bytes kept of one sequence of `length` tokens, `item` bytes a number.

    Layers that look back over a window keep no more than that.
    """
    text = config.get_text_config()
    if getattr(text, "state_size", None):
        return _state_bytes(text, item)
    kinds = getattr(text, "layer_types", None)
    window = getattr(text, "sliding_window", None)
    if not kinds:
        kind = "sliding_attention" if window else "full_attention"
        kinds = [kind] * text.num_hidden_layers
    # The newest token is in no cache that a window limits.
    short = min(length, window - 1) if window else length
    tokens = sum(short if "sliding" in kind else length for kind in kinds)
    return tokens * _token_numbers(text) * item


def _token_numbers(config: Any) -> int:
    """Return how many numbers a layer keeps of a token."""
    if getattr(config, "kv_lora_rank", None):
        # What all heads' keys and values are made from.
        return config.kv_lora_rank + config.qk_rope_head_dim
    width = (
        getattr(config, "head_dim", None)
        or config.hidden_size // config.num_attention_heads
    )
    return 2 * _kept_heads(config) * width


def _kept_heads(config: Any) -> int:
    """Return how many heads have keys and values of their own."""
    heads = config.num_attention_heads
    if getattr(config, "multi_query", False):
        is_grouped = getattr(config, "new_decoder_architecture", False)
        return config.num_kv_heads if is_grouped else 1
    return getattr(config, "num_key_value_heads", None) or heads


def _state_bytes(config: Any, item: int) -> int:
    """Return the bytes of a state-space model's state, whatever the length."""
    inner = getattr(config, "intermediate_size", 2 * config.hidden_size)
    kept = config.state_size + getattr(config, "conv_kernel", 0)
    return config.num_hidden_layers * inner * kept * item
