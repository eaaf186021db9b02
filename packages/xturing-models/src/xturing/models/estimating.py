"""How much memory a model needs to be loaded, trained and served, by its config alone.

The model is built without values, so nothing is read but its config.json. Sizes of
weights, adapters and caches are exact; what training keeps besides is a formula that
was fitted to measurements, and other libraries' share is measured too.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from xturing.core.errors import ModelError
from xturing.core.settings import Layer
from xturing.models import hub, lora
from xturing.models.caching import cache_bytes
from xturing.models.checkpoint import text_part
from xturing.models.device import default_device
from xturing.models.opening import from_folder
from xturing.models.settings import FinetuningConfig
from xturing.models.variant import Variant
from xturing.quant.layers import is_transposed_linear
from xturing.quant.packed import Packed
from xturing.quant.plan import Target, targets
from xturing.quant.quantizing import shell
from xturing.quant.schemes import SCHEMES, SKIP, scheme_named

if TYPE_CHECKING:
    from xturing.models.base import BaseModel

LIBRARIES = 855_000_000
"""Bytes resident once torch, transformers, peft and lightning are imported."""
TRAINED = 4 + 4 + 8
"""Bytes of a trained parameter: itself, its gradient, and Adam's two moments."""
FLOAT = 4
KEPT_HIDDEN, KEPT_INNER = 10, 4
"""Floats kept for the backward pass by each layer and token, in units of the hidden and
the intermediate size: 2873 MB were measured for 2048 tokens of 30 layers of 576 and
1536, of which this makes 2925 MB."""
LOGITS = 3
"""Copies of the logits: as they are made, their softmax, and its gradient."""
RESIDENT = 1.65
"""Resident bytes for each byte that is kept, on CPUs.

The C allocator keeps what was freed, and the backward pass needs room of its own.
Measured with SmolLM2 and one thread: 1.69 at 512 tokens, 1.63 at 1024, 1.62 at 2048."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What a model is to do at once."""

    tokens: int
    """Tokens of a training batch, padding included."""
    learnt: int
    """Those of them that enter the loss."""
    length: int
    """Tokens of the sequence that is served."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Bytes of memory that a model needs in one scheme, the program's own included."""

    scheme: str | None
    """None: whole weights."""
    workload: Workload
    """What it was told for."""
    weights: int
    """Parameters and buffers of the loaded model, and nothing else."""
    load: int
    """The most that is needed until it is loaded; mapped files do not count."""
    serve: int
    """With the keys and values of one sequence of the given length."""
    train_adapter: int | None
    """To train a LoRA adapter on top of it; None: it cannot have one so."""
    train_all: int | None
    """To train all weights, in float32; None: these cannot be trained."""


class Skeleton:
    """A model without values, which has the sizes of the real one."""

    def __init__(self, config: Any, *, trust_remote_code: bool = False) -> None:
        from transformers import AutoModelForCausalLM

        self.config = deepcopy(config)
        for part in (self.config, self.config.get_text_config()):
            vars(part).pop("quantization_config", None)
        with torch.device("meta"):
            self.model: Any = AutoModelForCausalLM.from_config(
                self.config,
                dtype=default_device().dtype,
                trust_remote_code=trust_remote_code,
            )

    @property
    def parameters(self) -> int:
        """How many weights there are, tied ones counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def weight_bytes(
        self,
        scheme: str | None,
        group_size: int | None = None,
        skip: Sequence[str] = SKIP,
    ) -> int:
        """Return the bytes of the parameters and buffers in a scheme."""
        chosen = targets(self.model, skip) if scheme is not None else []
        packed = {(target.name, target.parameter) for target in chosen}
        # A tied weight stays where it is not packed.
        whole = {
            id(tensor): tensor.nbytes
            for holder, tensor in _holders(self.model)
            if holder not in packed
        }
        sizes = (_packed_bytes(target, str(scheme), group_size) for target in chosen)
        return sum(whole.values()) + sum(sizes)

    def packing_bytes(self) -> int:
        """Return the bytes of the largest weight that is packed, in float32."""
        return max(target.weight.numel() for target in targets(self.model)) * FLOAT

    def adapter_parameters(self, tuning: FinetuningConfig) -> int | None:
        """Return how many parameters a LoRA adapter with these settings has.

        None: it cannot have one, as models whose experts share a weight at times.
        """
        # Other starts look at the weights, and have the same sizes.
        plain = tuning.layered(
            Layer(source="estimate", values={"lora_init": "default"})
        )
        with torch.device("meta"):
            try:
                adapted = lora.attach(shell(self.model), plain, Path())
            except ModelError:
                return None
        return sum(p.numel() for p in adapted.parameters() if p.requires_grad)

    def activation_bytes(self, workload: Workload) -> int:
        """Return the resident bytes that a training batch takes beside the weights."""
        config = self.config.get_text_config()
        hidden = config.hidden_size
        floats = KEPT_HIDDEN * hidden + KEPT_INNER * _inner_size(config)
        kept = workload.tokens * config.num_hidden_layers * floats * FLOAT
        logits = LOGITS * workload.learnt * config.vocab_size * FLOAT
        return int(_resident() * kept) + logits

    def estimate(
        self,
        scheme: str | None,
        workload: Workload,
        *,
        adapter: int | None,
        group_size: int | None = None,
        skip: Sequence[str] = SKIP,
    ) -> Estimate:
        """Return the memory needed in a scheme, the adapter having so many numbers."""
        weights = self.weight_bytes(scheme, group_size, skip)
        held = LIBRARIES + weights
        activations = self.activation_bytes(workload)
        cache = cache_bytes(
            self.config, workload.length, default_device().dtype.itemsize
        )
        trained = LIBRARIES + self.parameters * TRAINED + activations
        return Estimate(
            scheme=scheme,
            workload=workload,
            weights=weights,
            load=held + (self.packing_bytes() if scheme else 0),
            serve=held + cache,
            train_adapter=None
            if adapter is None
            else held + adapter * TRAINED + activations,
            train_all=trained if scheme is None else None,
        )


def estimates(
    reference: str,
    weights: str | Path | None = None,
    *,
    batch_size: int | None = None,
    max_length: int | None = None,
) -> tuple[Estimate, ...]:
    """Return what a variant or a saved folder needs, whole and in every scheme.

    `batch_size` rows of `max_length` tokens are trained on, all of them learnt, and one
    such sequence is served; the variant's own settings are taken otherwise. Other
    weights than its own are given as in `BaseModel`.

    Raises:
        UnknownNameError: there is no such variant.
        ModelError: there is no model, or it is none that can be built.
        DownloadError: its config.json is not here and cannot be fetched.
    """
    found = _found(reference, weights)
    rows = batch_size or found.tuning.batch_size
    length = max_length or found.tuning.max_length
    workload = Workload(tokens=rows * length, learnt=rows * length, length=length)
    skeleton = _built(found)
    adapter = skeleton.adapter_parameters(found.tuning)
    return tuple(
        skeleton.estimate(scheme, workload, adapter=adapter)
        for scheme in (None, *SCHEMES)
    )


def needed_for_training(model: "BaseModel", tokens: int, learnt: int) -> int | None:
    """Return the bytes that training a loaded model takes at its peak, if known.

    `tokens` are those of its largest batch, padding included, of which some are learnt.
    """
    there = model.quantization
    workload = Workload(tokens=tokens, learnt=learnt, length=tokens)
    options: dict[str, Any] = {}
    if there is not None:
        options = {"group_size": there.group_size, "skip": there.skip}
    skeleton = Skeleton(model.engine.model.config)
    scheme = there.scheme if there is not None else None
    adapter = skeleton.adapter_parameters(model.finetuning_config())
    found = skeleton.estimate(scheme, workload, adapter=adapter, **options)
    trains_all = model.variant.adapter == "none"
    return found.train_all if trains_all else found.train_adapter


@dataclass(frozen=True)
class _Found:
    folder: Path
    tuning: FinetuningConfig
    trust_remote_code: bool


def _found(reference: str, weights: str | Path | None) -> _Found:
    path = Path(reference).expanduser()
    if path.is_dir() or reference.startswith((".", "/", "~")):
        opening = from_folder(path.absolute(), None, is_verified=False)
        tuning = opening.variant.finetuning_config()
        return _Found(opening.location.folder, tuning, opening.trust_remote_code)
    variant = Variant.parse(reference)
    folder = (
        hub.locate_config(weights)
        if weights
        else hub.locate_family_config(variant.family)
    )
    return _Found(folder, variant.finetuning_config(), trust_remote_code=False)


def _built(found: _Found) -> Skeleton:
    from transformers import AutoConfig

    options = {
        "local_files_only": True,
        "trust_remote_code": found.trust_remote_code,
    }
    try:
        part = text_part(found.folder, options)
        config = part.get("config") or AutoConfig.from_pretrained(
            found.folder, **options
        )
        return Skeleton(config, trust_remote_code=found.trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{found.folder} cannot be built as a causal language model: {error}"
        ) from error


def _holders(model: nn.Module) -> list[tuple[tuple[str, str], Tensor]]:
    """Return every parameter and buffer with its module's name and its own."""
    return [
        ((name, part), tensor)
        for name, module in model.named_modules()
        for part, tensor in (
            *module.named_parameters(recurse=False),
            *module.named_buffers(recurse=False),
        )
    ]


def _packed_bytes(target: Target, scheme: str, group_size: int | None) -> int:
    wanted = scheme_named(scheme)
    fitting = target.scheme(wanted)
    packed = Packed(
        fitting,
        tuple(target.weight.shape),
        group_size if fitting is wanted else None,
        is_transposed=is_transposed_linear(target.module),
    )
    return packed.size_in_bytes


def _inner_size(config: Any) -> int:
    """Return how wide the hidden layer of the feed-forward part is, for one token."""
    named = ("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner")
    sizes = (getattr(config, name, None) for name in named)
    inner = next((size for size in sizes if size), 4 * config.hidden_size)
    if isinstance(inner, list | tuple):  # each layer has its own
        inner = max(inner)
    experts = getattr(config, "num_experts_per_tok", None) or 0
    of_expert = getattr(config, "moe_intermediate_size", None) or inner
    return experts * of_expert if experts else inner


def _resident() -> float:
    """Return the factor from kept to resident bytes, which is one on GPUs."""
    return RESIDENT if default_device().name == "cpu" else 1.0
