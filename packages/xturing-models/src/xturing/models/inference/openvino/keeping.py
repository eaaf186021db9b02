"""Models for OpenVINO, made once of each model's weights and then kept.

They lie in the cache folder under a name that tells of all they are made of, so that
other weights, settings or versions have files of their own.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel as Record
from pydantic import ConfigDict, ValidationError
from torch import nn

from xturing.core.errors import DataError, ModelError
from xturing.core.events import Notice, tell
from xturing.core.files import cache_folder, new_folder, read_json, sha256, write_json
from xturing.models.inference.openvino import checking
from xturing.models.inference.openvino.graphs import graph
from xturing.models.inference.openvino.library import core, openvino
from xturing.models.inference.openvino.rounding import round_weights
from xturing.models.inference.openvino.tracing import Attention, traced
from xturing.models.inference.runner import Runner

if TYPE_CHECKING:
    from xturing.models.base import BaseModel

FORMAT = 1
CARD, GRAPH, LOGITS = "converted.json", "model.xml", "logits.npy"
NOT_THE_MODEL = ("_name_or_path", "dtype", "transformers_version")
"""What a config has that tells of a file, not of the model."""

Run = Callable[[Any, Sequence[Attention]], Runner]
"""Returns what computes with a graph whose layers' attention is like that."""


class Card(Record):
    """What is known of a model that was converted."""

    model_config = ConfigDict(frozen=True)

    layers: tuple[Attention, ...]
    scheme: str
    probe: tuple[int, ...]
    """Token ids of a text whose logits are kept beside the model."""
    divergence: float | None = None
    """What rounding the weights did: mean divergence in nats a token; None: whole."""
    top1_agreement: float | None = None
    """Share of tokens after which the likeliest one is still the same."""
    files: dict[str, str] = {}
    """SHA-256 of the other files."""


@dataclass(frozen=True)
class Kept:
    """A folder with a converted model."""

    folder: Path
    card: Card

    def graph(self) -> Any:
        """Return the model's graph, its weights left on disk until they are used."""
        return core().read_model(self.folder / GRAPH)

    def logits(self) -> NDArray[Any]:
        """Return the probe's logits, of shape (tokens, vocabulary)."""
        return np.load(self.folder / LOGITS)


def kept(model: "BaseModel", scheme: str, run: Run) -> Kept:
    """Return a model's converted form, which is made unless it is there and whole.

    Making it takes about three times the memory of the model in single precision.

    Raises:
        ModelError: OpenVINO cannot do with the model, or not with rounded weights.
    """
    from filelock import FileLock

    module = whole(model)
    folder = cache_folder() / "engines" / "openvino" / _key(module, scheme)[:32]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        card = _card(folder)
        if card is None:
            tell(Notice(text="Converting the model for OpenVINO (once)"))
            _convert(model, module, scheme, folder, run)
            card = _card(folder)
    if card is None:
        raise ModelError(f"{folder} was written and cannot be read: is the disk well?")
    return Kept(folder, card)


def whole(model: "BaseModel") -> Any:
    """Return the torch model in single precision, adapters worked into its weights.

    It shares memory with the model where that has such weights, and nothing else.
    """
    from xturing.models.packing import dequantized
    from xturing.quant.quantizing import shell

    source = model.merged() if model.has_adapter else model
    module: Any = shell(source.engine.model)
    if source.engine.quantization is not None:
        module = dequantized(module)
    return module.float().cpu().eval()


def _convert(
    model: "BaseModel", module: Any, scheme: str, folder: Path, run: Run
) -> None:
    name = model.config_name
    trace = traced(module)
    made = graph(trace, name)
    limit = getattr(module.config.get_text_config(), "max_position_embeddings", None)
    rows = checking.texts(model, limit)
    probe = rows[0][:, : checking.CHECKED]
    found: dict[str, Any] = {}
    runner = run(made.clone(), trace.layers)
    checking.refuse_unlike(module, runner, probe, name)
    if scheme != "none":
        runner.close()
        round_weights(made)
        runner = run(made.clone(), trace.layers)
        fidelity = checking.fidelity(module, runner, rows)
        _refuse_unfaithful(fidelity.top1_agreement, scheme, name)
        found = {
            "divergence": fidelity.divergence,
            "top1_agreement": fidelity.top1_agreement,
        }
    card = Card(
        layers=trace.layers, scheme=scheme, probe=tuple(probe[0].tolist()), **found
    )
    logits = checking.read(runner, list(card.probe))
    runner.close()
    _write(folder, made, card, logits)


def _refuse_unfaithful(agreement: float, scheme: str, name: str) -> None:
    if not agreement >= checking.LEAST_AGREEMENT:
        raise ModelError(
            f"Rounded to {scheme}, '{name}' finds the same token likeliest in only "
            f"{agreement:.0%} of a text's places, and {checking.LEAST_AGREEMENT:.0%} "
            'are wanted. Keep its weights whole: weights="none".'
        )


def _write(folder: Path, made: Any, card: Card, logits: NDArray[Any]) -> None:
    with new_folder(folder, overwrite=True) as draft:
        openvino().save_model(made, draft / GRAPH, compress_to_fp16=False)
        np.save(draft / LOGITS, logits)
        files = {file.name: sha256(file) for file in sorted(draft.iterdir())}
        write_json(draft / CARD, card.model_copy(update={"files": files}).model_dump())


def _card(folder: Path) -> Card | None:
    """Return the card of a folder that is as it was written; None: it is not."""
    if not (folder / CARD).is_file():
        return None
    try:
        card = Card.model_validate(read_json(folder / CARD))
    except (DataError, ValidationError):
        return None
    for name, digest in card.files.items():
        file = folder / name
        if not file.is_file() or sha256(file) != digest:
            return None
    return card if {GRAPH, LOGITS} <= set(card.files) else None


def _key(module: nn.Module, scheme: str) -> str:
    """Return a hash of all that a converted model is made of."""
    config: Any = module.config
    described = {k: v for k, v in config.to_dict().items() if k not in NOT_THE_MODEL}
    made_of = [FORMAT, scheme, openvino().__version__, type(module).__name__, described]
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode())
    tensors = [*module.named_parameters(), *module.named_buffers()]
    for name, tensor in sorted(tensors, key=lambda pair: pair[0]):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()
