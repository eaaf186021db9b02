"""A transformers model's weights as the compiled decoder wants them.

What a model is like is read from its modules; whether it was read rightly, the runner
finds out by comparing logits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xturing.core.errors import ModelError
from xturing.models.inference.native import layout

PADDING = 16
"""Numbers that rows are filled up to; the widest vector has so many."""
ROWS = 16
"""Rows that lie in a block."""
CODES, FLOATS = 2, 1
"""Columns of a row that lie side by side."""
GROUPS = (64, 32, 16)
PARTS: dict[int, tuple[str, ...]] = {
    layout.QKV: ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    layout.OUTPUT: ("self_attn.o_proj",),
    layout.GATE_UP: ("mlp.gate_proj", "mlp.up_proj"),
    layout.DOWN: ("mlp.down_proj",),
}
"""The layers of a block that are one matrix here, one below the other."""
BLOCK_MODULES = {
    *(name for names in PARTS.values() for name in names),
    *("self_attn", "mlp", "mlp.act_fn", "input_layernorm"),
    *("post_attention_layernorm", "self_attn.q_norm", "self_attn.k_norm"),
}


@dataclass
class Loaded:
    """The decoder's structure, and what it points to."""

    model: layout.Model
    layers: int
    kept_heads: int
    head_size: int
    vocabulary: int
    widths: dict[int, int]
    """Columns that a part's matrices are filled up to."""
    arrays: list[NDArray[Any]] = field(default_factory=list)
    """What has to stay as long as the decoder does."""


def load(model: Any, scheme: str) -> Loaded:
    """Return a model's weights, as floats (`none`) or rounded to `int8`.

    Rows are rounded in groups of 64 or fewer weights with a scale of their own.

    Raises:
        ModelError: the architecture is not one that the decoder has.
    """
    loader = _Loader(scheme)
    decoder, config = model.get_decoder(), model.config.get_text_config()
    _refuse_others(model, decoder, config)
    blocks = list(decoder.layers)
    layers = (layout.Layer * len(blocks))()
    kinds = getattr(config, "layer_types", None) or [""] * len(blocks)
    for number, block in enumerate(blocks):
        loader.block(layers[number], block)
        layers[number].window = _window(config, kinds[number])
        layers[number].is_rotary = _is_rotary(config, number)
    attention = blocks[0].self_attn
    head_size = attention.head_dim
    rotary = decoder.rotary_emb
    embedding = loader.matrix([decoder.embed_tokens.weight])
    head_weight = model.get_output_embeddings().weight
    is_tied = head_weight is decoder.embed_tokens.weight
    made = layout.Model(
        layers=layers,
        embedding=embedding,
        head=embedding if is_tied else loader.matrix([head_weight]),
        final_norm=loader.vector(decoder.norm.weight),
        frequencies=loader.vector(rotary.inv_freq),
        adapters=None,
        epsilon=decoder.norm.variance_epsilon,
        score_scale=attention.scaling,
        rotary_scale=rotary.attention_scaling,
        layer_count=len(blocks),
        width=config.hidden_size,
        heads=config.num_attention_heads,
        kept_heads=config.num_key_value_heads,
        head_size=head_size,
        inner=blocks[0].mlp.down_proj.in_features,
        adapter_count=0,
    )
    widths = {part: layers[0].parts[part].stride for part in PARTS}
    return Loaded(
        made, len(blocks), made.kept_heads, head_size, made.head.rows, widths,
        loader.arrays,
    )  # fmt: skip


def add_adapters(loaded: Loaded, adapters: Mapping[str, Mapping[str, Any]]) -> None:
    """Put adapters beside the weights, by their names.

    Each is what `adapters.low_rank` returns: for a layer's name in the model, its A,
    its B and the scale.

    Raises:
        ModelError: an adapter is of another model.
    """
    entries = (layout.LowRank * (len(adapters) * loaded.layers * layout.PARTS))()
    place = 0
    for name, adapter in adapters.items():
        _refuse_misfit(loaded, name, adapter)
        for number in range(loaded.layers):
            for part, names in PARTS.items():
                found = [adapter.get(f"layers.{number}.{each}") for each in names]
                _low_rank(loaded, entries[place], part, found)
                place += 1
    loaded.model.adapters = entries
    loaded.model.adapter_count = len(adapters)


def _refuse_misfit(loaded: Loaded, name: str, adapter: Mapping[str, Any]) -> None:
    sizes = {
        f"layers.{number}.{each}": (columns, rows)
        for number in range(loaded.layers)
        for part, names in PARTS.items()
        for columns in [_columns_of(loaded, part)]
        for each, rows in zip(names, _rows_of(loaded, part), strict=True)
    }
    for layer, (a, b, _) in adapter.items():
        if layer not in sizes:
            raise ModelError(
                f"The adapter '{name}' does not fit the model, which has no {layer}. "
                "Give one that was trained on this model."
            )
        found = a.shape[1], b.shape[0]
        if found != sizes[layer]:
            raise ModelError(
                f"The adapter '{name}' does not fit the model: its {layer} leads from "
                f"{found[0]} to {found[1]} features, and the model's from "
                f"{sizes[layer][0]} to {sizes[layer][1]}. Give one that was trained on "
                "this model."
            )


def _low_rank(
    loaded: Loaded, entry: layout.LowRank, part: int, found: Sequence[Any]
) -> None:
    """Fill in what an adapter adds to a matrix; several layers are one blockwise."""
    if not any(found):
        return
    rows = _rows_of(loaded, part)
    ranks = [0 if each is None else each[0].shape[0] for each in found]
    down = np.zeros((sum(ranks), loaded.widths[part]), np.float32)
    up = np.zeros((sum(rows), sum(ranks)), np.float32)
    row = column = 0
    for each, height, rank in zip(found, rows, ranks, strict=True):
        if each is not None:
            a, b, scale = each
            down[column : column + rank, : a.shape[1]] = a.float().numpy()
            up[row : row + height, column : column + rank] = b.float().numpy() * scale
        row, column = row + height, column + rank
    loaded.arrays += [down, up]
    entry.down, entry.up = layout.pointer(down), layout.pointer(up)
    entry.scale, entry.rank = 1.0, sum(ranks)


def _columns_of(loaded: Loaded, part: int) -> int:
    model = loaded.model
    whole = model.heads * model.head_size
    return {layout.OUTPUT: whole, layout.DOWN: model.inner}.get(part, model.width)


def _rows_of(loaded: Loaded, part: int) -> list[int]:
    model = loaded.model
    kept = model.kept_heads * model.head_size
    return {
        layout.QKV: [model.heads * model.head_size, kept, kept],
        layout.OUTPUT: [model.width],
        layout.GATE_UP: [model.inner, model.inner],
        layout.DOWN: [model.width],
    }[part]


class _Loader:
    def __init__(self, scheme: str) -> None:
        self._is_rounded = scheme == "int8"
        self.arrays: list[NDArray[Any]] = []

    def block(self, layer: layout.Layer, block: Any) -> None:
        for part, names in PARTS.items():
            linear = [block.get_submodule(name) for name in names]
            biases = [each.bias for each in linear]
            layer.parts[part] = self.matrix([each.weight for each in linear], biases)
        attention = block.self_attn
        layer.attention_norm = self.vector(block.input_layernorm.weight)
        layer.feed_forward_norm = self.vector(block.post_attention_layernorm.weight)
        if hasattr(attention, "q_norm"):
            layer.query_norm = self.vector(attention.q_norm.weight)
            layer.key_norm = self.vector(attention.k_norm.weight)

    def vector(self, tensor: Tensor) -> Any:
        return layout.pointer(self._kept(_array(tensor)))

    def matrix(
        self, weights: Sequence[Tensor], biases: Sequence[Tensor | None] = ()
    ) -> layout.Matrix:
        whole = torch.cat([weight.detach().float() for weight in weights]).cpu()
        rows, columns = whole.shape
        stride = -(-columns // PADDING) * PADDING
        whole = torch.nn.functional.pad(whole, (0, stride - columns, 0, -rows % ROWS))
        group = next((size for size in GROUPS if stride % size == 0), stride)
        made = layout.Matrix(rows=rows, columns=columns, stride=stride, group=group)
        if self._is_rounded:
            codes, scales = rounded(whole, group)
            ordered = in_blocks(codes, CODES)
            made.codes = layout.pointer(self._kept(ordered.numpy()), layout.Codes)
            made.scales = layout.pointer(self._kept(in_blocks(scales, FLOATS).numpy()))
        else:
            made.floats = layout.pointer(self._kept(in_blocks(whole, FLOATS).numpy()))
        if any(bias is not None for bias in biases):
            filled = [
                torch.zeros(len(weight)) if bias is None else bias
                for weight, bias in zip(weights, biases, strict=True)
            ]
            made.bias = self.vector(torch.cat(filled))
        return made

    def _kept(self, array: NDArray[Any]) -> NDArray[Any]:
        self.arrays.append(array)
        return array


def rounded(weight: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """Return int8 codes, and a scale for each group of a row: weight = code * scale."""
    groups = weight.unflatten(1, (-1, group))
    scales = (groups.abs().amax(-1) / 127).clamp(min=1e-12)
    codes = (groups / scales[..., None]).round().clamp(-127, 127).to(torch.int8)
    return codes.flatten(1).contiguous(), scales.contiguous()


def in_blocks(matrix: Tensor, columns: int) -> Tensor:
    """Return a matrix in blocks of 16 rows, so many columns of each in turn."""
    # Two codes are copied as one number of 16 bits.
    wide = matrix.view(torch.int16) if matrix.dtype == torch.int8 else matrix
    width = columns * wide.shape[1] // matrix.shape[1]
    blocks = wide.unflatten(1, (-1, width)).unflatten(0, (-1, ROWS))
    return blocks.transpose(1, 2).contiguous().view(matrix.dtype)


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.ascontiguousarray(tensor.detach().float().cpu().numpy())


def _window(config: Any, kind: str) -> int:
    size = getattr(config, "sliding_window", None)
    is_sliding = "sliding" in kind if kind else bool(size)
    return int(size or 0) if is_sliding else 0


def _is_rotary(config: Any, number: int) -> bool:
    rotary = getattr(config, "no_rope_layers", None)
    # Despite its name, it has a 1 for each layer with rotated positions.
    return bool(rotary[number]) if rotary else True


def _refuse_others(model: Any, decoder: Any, config: Any) -> None:
    """Raise `ModelError` for an architecture that is not the decoder's."""
    reason = _obstacle(model, decoder, config)
    if reason is not None:
        raise ModelError(
            f"The engine 'native' cannot do with {type(model).__name__}: {reason}. Use "
            "the engine 'openvino' or 'torch', which can do with many more."
        )


def _obstacle(model: Any, decoder: Any, config: Any) -> str | None:
    """Return what the decoder has not; None: nothing that can be seen from here."""
    for name in ("layers", "embed_tokens", "norm", "rotary_emb"):
        if not hasattr(decoder, name):
            return f"its decoder has no '{name}'"
    if getattr(config, "hidden_act", None) not in ("silu", "swish"):
        return f"its activation is {getattr(config, 'hidden_act', 'unknown')}, not silu"
    for block in decoder.layers:
        found = _block_obstacle(block)
        if found is not None:
            return found
    return (
        _head_obstacle(model.get_output_embeddings())
        or _position_obstacle(decoder, config)
        or _size_obstacle(decoder, config)
    )


def _head_obstacle(head: Any) -> str | None:
    if head is None:
        return "it has no head over the vocabulary"
    return "its head has a bias" if getattr(head, "bias", None) is not None else None


def _block_obstacle(block: Any) -> str | None:
    names = {name for name, _ in block.named_modules() if name}
    if names - BLOCK_MODULES:
        return f"its blocks have '{sorted(names - BLOCK_MODULES)[0]}'"
    wanted = {name for parts in PARTS.values() for name in parts}
    if wanted - names:
        return f"its blocks have no '{sorted(wanted - names)[0]}'"
    for name in ("input_layernorm", "post_attention_layernorm"):
        if getattr(getattr(block, name, None), "weight", None) is None:
            return f"its blocks have no weights '{name}'"
    return None


def _position_obstacle(decoder: Any, config: Any) -> str | None:
    """Return what a short text would not show, as well as what it would."""
    rotary = decoder.rotary_emb
    frequencies = getattr(rotary, "inv_freq", None)
    if frequencies is None:
        return "its layers rotate in different ways"
    if frequencies.ndim != 1 or 2 * len(frequencies) != _head_size(decoder):
        return "it rotates only parts of its heads"
    if getattr(rotary, "rope_type", "default") in ("dynamic", "longrope"):
        return "its rotations depend on the length of the text"
    if (getattr(config, "rope_parameters", None) or {}).get("llama_4_scaling_beta"):
        return "its attention depends on the length of the text"
    if any("chunk" in kind for kind in getattr(config, "layer_types", None) or ()):
        return "its attention is divided into chunks"
    return None


def _size_obstacle(decoder: Any, config: Any) -> str | None:
    """Return what is of another size than the configuration says.

    The decoder trusts these numbers, so that it would read beyond its weights.
    """
    size, width = _head_size(decoder), config.hidden_size
    kept = config.num_key_value_heads * size
    inner = decoder.layers[0].mlp.down_proj.in_features
    wide = config.num_attention_heads * size
    heights = {"k_proj": kept, "v_proj": kept, "q_proj": wide, "up_proj": inner}
    heights |= {"o_proj": width, "down_proj": width, "gate_proj": inner}
    for block in decoder.layers:
        for name in (name for names in PARTS.values() for name in names):
            last = name.rpartition(".")[2]
            columns = {"o_proj": wide, "down_proj": inner}.get(last, width)
            shape = tuple(block.get_submodule(name).weight.shape)
            if shape != (heights[last], columns):
                return f"its blocks are of different sizes ({name})"
    if config.num_attention_heads % config.num_key_value_heads:
        return "its kept heads do not divide its heads"
    return None


def _head_size(decoder: Any) -> int:
    return decoder.layers[0].self_attn.head_dim
