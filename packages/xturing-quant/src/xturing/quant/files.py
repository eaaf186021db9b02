"""Quantized models as files: one safetensors file and a page that describes it."""

import dataclasses
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from xturing.core.errors import DataError, QuantizationError
from xturing.core.files import new_folder, read_json, sha256, write_json
from xturing.quant.backend import BACKENDS, replaced
from xturing.quant.layers import packed_weights
from xturing.quant.quantizing import (
    RECIPE,
    Model,
    Recipe,
    quantized_modules,
    recipe_of,
    shell,
    targets_by_name,
    unknown_layer,
)
from xturing.quant.schemes import SCHEMES

WEIGHTS = "weights.safetensors"
MANIFEST = "quantization.json"
VERSION = 1
SEPARATOR = "|"
"""Between a module's name and the name of a quantized tensor."""


class Layer(BaseModel):
    """A quantized weight, as the manifest has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    module: str
    parameter: str
    scheme: str
    group_size: int | None
    shape: tuple[int, ...]


class Manifest(BaseModel):
    """What `quantization.json` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    recipe: dict[str, Any]
    layers: tuple[Layer, ...]
    aliases: dict[str, str]
    """Names of tensors that are one with another tensor."""
    sha256: str
    """Of the weights file."""


def save(model: nn.Module, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a model that `quantize` made to a folder.

    Raises:
        QuantizationError: the model is not quantized.
        OutputError: the folder is in use and `overwrite` is off.
    """
    recipe = recipe_of(model)
    tensors: dict[str, Tensor] = {}
    layers: list[Layer] = []
    held = quantized_modules(model)
    for name, (backend, module) in held.items():
        own = backend.tensors(module)
        tensors |= {f"{name}{SEPARATOR}{part}": own[part] for part in own}
        layers += _layers(name, module, recipe)
    rest, aliases = _others(model, set(held))
    with new_folder(Path(path).expanduser(), overwrite=overwrite) as draft:
        whole = {name: value.contiguous() for name, value in (tensors | rest).items()}
        save_file(whole, draft / WEIGHTS, metadata={"format": "pt"})
        manifest = Manifest(
            version=VERSION,
            recipe=dataclasses.asdict(recipe),
            layers=tuple(layers),
            aliases=aliases,
            sha256=sha256(draft / WEIGHTS),
        )
        write_json(draft / MANIFEST, manifest.model_dump(mode="json"))


def load(model: Model, path: str | Path) -> Model:
    """Return a model of the given one's architecture with the weights of a folder.

    The given model's own weights are not used; they may be on the meta device.

    Raises:
        QuantizationError: the folder is damaged, or was saved from another
            architecture.
    """
    folder = Path(path).expanduser()
    manifest = _manifest(folder)
    tensors = _tensors(folder, manifest.sha256)
    made = shell(model)
    known = targets_by_name(made)
    backend = BACKENDS[manifest.recipe["backend"]]
    rebuilt: set[str] = set()
    for layer in manifest.layers:
        target = known.get((layer.module, layer.parameter))
        if target is None:
            raise unknown_layer(layer.module, [name for name, _ in known])
        wanted = tuple(getattr(target.module, target.parameter).shape)
        if wanted != layer.shape:
            raise QuantizationError(
                f"'{layer.module}' was saved with the shape {layer.shape}, but has "
                f"{wanted} in this model: it was saved from another architecture."
            )
        own = _own(tensors, layer.module)
        module = backend.rebuild(target, SCHEMES[layer.scheme], layer.group_size, own)
        made = cast(Model, replaced(made, layer.module, module))
        rebuilt.add(layer.module)
    dense = {name: value for name, value in tensors.items() if SEPARATOR not in name}
    dense |= {name: dense[source] for name, source in manifest.aliases.items()}
    _assign(made, dense, rebuilt)
    setattr(made, RECIPE, Recipe(**_recipe(manifest.recipe)))
    return made


def _recipe(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, "skip": tuple(values["skip"])}


def _layers(name: str, module: nn.Module, recipe: Recipe) -> list[Layer]:
    packed = packed_weights(module)
    if packed:
        return [
            Layer(
                module=name,
                parameter=parameter,
                scheme=weight.scheme.name,
                group_size=weight.group_size,
                shape=weight.shape,
            )
            for parameter, weight in packed.items()
        ]
    assert isinstance(module, nn.Linear)  # noqa: S101  # others keep these alone
    return [
        Layer(
            module=name,
            parameter="weight",
            scheme=recipe.scheme,
            group_size=recipe.group_size,
            shape=(module.out_features, module.in_features),
        )
    ]


def _others(
    model: nn.Module, held: set[str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors outside of quantized weights, and those that are aliases."""
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[object, ...], str] = {}
    for name, value in model.state_dict().items():
        if _is_quantized_part(name, held):
            continue
        place = value.data_ptr(), value.shape, value.stride(), value.dtype
        if value.numel() and place in seen:
            aliases[name] = seen[place]
        else:
            seen[place] = name
            tensors[name] = value
    return tensors, aliases


def _is_quantized_part(name: str, held: set[str]) -> bool:
    """Tell whether a name of the state dict is of a quantized weight."""
    return any(
        name.startswith(f"{module}." if module else "")
        and _is_of_weight(name.removeprefix(f"{module}." if module else ""))
        for module in _prefixes(name, held)
    )


def _is_of_weight(part: str) -> bool:
    # A layer's bias, and modules within it, are kept as they are.
    return part != "bias" and (
        part.startswith(("packed_", "weight")) or part in ("SCB", "weight_format")
    )


def _prefixes(name: str, held: set[str]) -> list[str]:
    parts = name.split(".")
    candidates = (".".join(parts[:count]) for count in range(len(parts)))
    return [candidate for candidate in candidates if candidate in held]


def _own(tensors: dict[str, Tensor], module: str) -> dict[str, Tensor]:
    start = f"{module}{SEPARATOR}"
    return {
        name.removeprefix(start): value
        for name, value in tensors.items()
        if name.startswith(start)
    }


def _assign(model: nn.Module, dense: dict[str, Tensor], rebuilt: set[str]) -> None:
    wanted = {
        name: value
        for name, value in model.state_dict().items()
        if not _is_quantized_part(name, rebuilt)
    }
    for name in sorted(set(wanted) ^ set(dense)):
        where = "the saved weights" if name in wanted else "the model"
        raise QuantizationError(
            f"'{name}' is missing in {where}: they are of different architectures."
        )
    for name, value in dense.items():
        if value.shape != wanted[name].shape:
            raise QuantizationError(
                f"'{name}' was saved with the shape {tuple(value.shape)}, but has "
                f"{tuple(wanted[name].shape)} in this model."
            )
    model.load_state_dict(dense, strict=False, assign=True)


def _manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        values = read_json(path)
    except DataError as error:
        raise QuantizationError(
            f"{folder} holds no quantized model: {error}"
        ) from error
    version = values.get("version") if isinstance(values, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise QuantizationError(
            f"{path} was written by a later version (format {version}; this one reads "
            f"up to {VERSION}). Upgrade with: pip install --upgrade xturing-quant"
        )
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        raise QuantizationError(f"{path} cannot be read: {error}") from error


def _tensors(folder: Path, digest: str) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    if not path.is_file():
        raise QuantizationError(f"{path} is missing; copy the folder as a whole.")
    if sha256(path) != digest:
        raise QuantizationError(
            f"{path} is damaged: its checksum is not the one in {MANIFEST}. Copy it "
            "again from where it came from, or quantize the model anew."
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise QuantizationError(f"{path} cannot be read: {error}") from error


