"""What xTuring 0.1 wrote, read into today's shapes.

Its adapters are not peft's. The tensors are named as in the base model, with `model.`
in front; beside the weight of an adapted layer are `lora_A.weight` of shape (rank, in)
and `lora_B.weight` of shape (out, rank). `adapter_model.bin` holds these alone, and
`pytorch_model.bin` the base weights too.

If a model had one target, that layer's output was taken for as many equal parts as
`enable_lora` is long, mostly a fused q, k and v. Only the parts that are on were
adapted, each with a rank of its own: A then has shape (parts on * rank, in), and B, the
kernel of a grouped convolution, (parts on * size of a part, rank, 1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xturing.core.errors import DataError, ModelError, SettingsError
from xturing.core.events import Notice, tell
from xturing.core.files import read_json
from xturing.core.settings import Settings
from xturing.models.folders import ADAPTER_FILE
from xturing.models.weights import read_pickle

if TYPE_CHECKING:
    from torch import Tensor

STATE_FILE = "pytorch_model.bin"
PREFIX = "model."
# The values that 0.1 had in its code; older folders do not repeat them.
ALPHA = 16
DROPOUT = 0.05
PARTS_ON = (True, False, True)
OTHER_BASE = "Pass the right base: BaseModel.load(path, base='<folder or hub id>')."


@dataclass(frozen=True, kw_only=True)
class LegacyAdapter:
    """An adapter of 0.1, its fused layers written as ordinary ones."""

    pairs: "Mapping[str, tuple[Tensor, Tensor]]"
    """A of shape (rank, in) and B of shape (out, rank) by the layer's name."""
    alpha: float
    """The output is scaled by alpha / rank."""
    dropout: float
    is_transposed: bool
    """Whether the layers keep their weights as (in, out)."""

    @property
    def rank(self) -> int:
        """Inner size of the matrices."""
        return next(iter(self.pairs.values()))[0].shape[0]

    def delta(self, layer: str) -> "Tensor":
        """Return what the adapter adds to a layer's weight, of that weight's shape."""
        a, b = self.pairs[layer]
        whole = b.float() @ a.float() * (self.alpha / self.rank)
        return whole.T if self.is_transposed else whole


def adapter_file(folder: Path) -> Path | None:
    """Return the file with an adapter of 0.1, or None if the folder has none.

    Raises:
        ModelError: a file that may hold one cannot be read.
    """
    if any(folder.glob("*model*.safetensors")):
        return None
    for name in ("adapter_model.bin", STATE_FILE):
        file = folder / name
        if file.is_file():
            pairs = [key for key in read_pickle(file) if _is_pair(key)]
            return file if pairs else None
    return None


def read_adapter(folder: Path) -> LegacyAdapter | None:
    """Return the adapter of 0.1 in a folder, or None if it has none.

    Raises:
        ModelError: a file cannot be read.
    """
    file = adapter_file(folder)
    if file is None:
        return None
    state = read_pickle(file)
    config = read_config(folder)
    parts_on = tuple(config.get("enable_lora") or PARTS_ON)
    pairs, is_fused = {}, False
    for key in state:
        layer, is_a, _ = key.partition(".lora_A.weight")
        if is_a and _is_pair(key):
            a, b = state[key], state.get(f"{layer}.lora_B.weight")
            if b is None:
                raise ModelError(
                    f"{file} lacks {layer}.lora_B.weight: it is damaged. Copy it again."
                )
            is_fused = b.ndim > a.ndim
            whole = _whole(b, a.shape[0], parts_on) if is_fused else b
            pairs[layer.removeprefix(PREFIX)] = a, whole
    # Each part had the rank, and with it the scale, that the whole layer has now.
    ranks = sum(parts_on) if is_fused else 1
    return LegacyAdapter(
        pairs=pairs,
        alpha=config.get("lora_alpha", ALPHA) * ranks,
        dropout=config.get("lora_dropout", DROPOUT),
        is_transposed=bool(config.get("fan_in_fan_out")),
    )


def attach(model: Any, adapter: LegacyAdapter) -> Any:
    """Return the model with the adapter as one of peft's that computes the same.

    Raises:
        ModelError: the adapter does not fit the model.
    """
    from peft import LoraConfig, TaskType, get_peft_model, set_peft_model_state_dict
    from transformers.pytorch_utils import Conv1D

    layers = dict(model.named_modules())
    missing = sorted(adapter.pairs.keys() - layers.keys())
    if missing:
        raise ModelError(
            f"The adapter was trained on layers such as {missing[0]}, which "
            f"{type(model).__name__} does not have. {OTHER_BASE}"
        )
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=adapter.rank,
        lora_alpha=adapter.alpha,  # type: ignore[arg-type]  # a float works
        lora_dropout=adapter.dropout,
        target_modules=_targets(layers, adapter),
        fan_in_fan_out=all(isinstance(layers[name], Conv1D) for name in adapter.pairs),
    )
    adapted = get_peft_model(model, config)
    state = {
        f"base_model.model.{layer}.lora_{letter}.weight": tensor.contiguous()
        for layer, pair in adapter.pairs.items()
        for letter, tensor in zip("AB", pair, strict=True)
    }
    try:
        set_peft_model_state_dict(adapted, state)
    except RuntimeError as error:
        raise ModelError(
            f"The adapter does not fit its base model: {error} {OTHER_BASE}"
        ) from error
    return adapted


def holds_base(folder: Path) -> bool:
    """Tell whether a folder with an adapter of 0.1 has usable base weights too.

    Those of the 8-bit variants are not: they were written as the GPU kept them.
    """
    import torch

    file = folder / STATE_FILE
    if adapter_file(folder) is None or not file.is_file():
        return False
    state = read_pickle(file)
    return all(key.startswith(PREFIX) for key in state) and not any(
        tensor.dtype in (torch.int8, torch.uint8) and tensor.ndim == 2
        for tensor in state.values()
    )


def read_base(file: Path) -> tuple[Any, Any]:
    """Return the base model, without its adapter, and the tokenizer of a full state.

    Raises:
        ModelError: it cannot be read, or weights are missing.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder = file.parent
    options: dict[str, Any] = {"local_files_only": True}
    try:
        state = _base_state(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        config = AutoConfig.from_pretrained(folder, **options)
        with torch.device("meta"):
            kind: Any = type(AutoModelForCausalLM.from_config(config))
        model, report = kind.from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=_widest(state),
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(
            f"{file} cannot be opened as a causal language model: {error}"
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{file} lacks {len(missing)} weights of {type(model).__name__}, such as "
            f"{missing[0]}. {OTHER_BASE}"
        )
    return model, tokenizer


def read_config(folder: Path) -> dict[str, Any]:
    """Return what `adapter_config.json` says; the oldest folders have none.

    Raises:
        ModelError: it is broken.
    """
    file = folder / ADAPTER_FILE
    if not file.is_file():
        return {}
    try:
        config = read_json(file)
    except DataError as error:
        raise ModelError(f"{file} cannot be read: {error}") from error
    return config if isinstance(config, dict) else {}


def accepted(kind: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of 0.1's settings that there still are and that are right.

    0.1 did not check what was assigned; what is wrong is told and left out.
    """
    kept = {}
    for name in values:
        if name not in kind.model_fields:
            continue
        try:
            kind(**{name: values[name]})
        except SettingsError as error:
            tell(Notice(text=f"A saved setting is left at its default: {error}"))
        else:
            kept[name] = values[name]
    return kept


def _is_pair(key: str) -> bool:
    ours = key.startswith(PREFIX)
    return ours and key.endswith((".lora_A.weight", ".lora_B.weight"))


def _whole(b: "Tensor", rank: int, parts_on: tuple[bool, ...]) -> "Tensor":
    """Return a fused layer's B as one matrix (out, rank), with zeros between parts."""
    import torch

    size = b.shape[0] // sum(parts_on)
    blocks = torch.block_diag(*b.squeeze(-1).chunk(rank // b.shape[1]))
    whole = b.new_zeros(size * len(parts_on), rank)
    whole[torch.tensor(parts_on).repeat_interleave(size)] = blocks
    return whole


def _targets(layers: Mapping[str, Any], adapter: LegacyAdapter) -> list[str]:
    """Return the last parts of the layers' names, if these lead to no other layer."""
    kinds = {name.rpartition(".")[2] for name in adapter.pairs}
    led_to = {name for name in layers if name.rpartition(".")[2] in kinds}
    return sorted(kinds if led_to == adapter.pairs.keys() else adapter.pairs)


def _base_state(folder: Path) -> "dict[str, Tensor]":
    state = {
        key.removeprefix(PREFIX): tensor
        for key, tensor in read_pickle(folder / STATE_FILE).items()
        if not _is_pair(key)
    }
    adapter = read_adapter(folder)
    if adapter is not None and _is_merged(state, adapter, folder):
        for layer in adapter.pairs:
            weight = state[f"{layer}.weight"]
            plain = weight.float() - adapter.delta(layer)
            state[f"{layer}.weight"] = plain.to(weight.dtype)
    return state


def _is_merged(
    state: "Mapping[str, Tensor]", adapter: LegacyAdapter, folder: Path
) -> bool:
    """Tell whether the adapter is in the weights already.

    0.1 worked a loaded adapter into the weights, and if it then saved the model, wrote
    those weights with the adapter once more; nothing in the folder says so. But weights
    as they were have next to nothing in the adapter's direction (Hu et al. 2021,
    section 7.3), while merged ones have all of it.
    """
    if not (folder / ADAPTER_FILE).is_file():
        return False
    along = full = 0.0
    for layer in adapter.pairs:
        delta = adapter.delta(layer)
        along += float((state[f"{layer}.weight"].float() * delta).sum())
        full += float(delta.square().sum())
    return along > full / 2


def _widest(state: "Mapping[str, Tensor]") -> Any:
    import torch

    found = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()}
    return found.pop() if len(found) == 1 else torch.float32
