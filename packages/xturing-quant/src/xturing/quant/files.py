"""Quantized models as files: one safetensors file and a page that describes it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from xturing.core.errors import DataError, QuantizationError, XTuringError
from xturing.core.files import new_folder, read_json, sha256, write_json
from xturing.core.names import suggestion
from xturing.quant.backend import BACKENDS, ORIGIN, Origin, origin_of, replaced
from xturing.quant.layers import PREFIX, packed_weights
from xturing.quant.plan import Target
from xturing.quant.quantizing import (
    RECIPE,
    Model,
    Recipe,
    quantized_modules,
    recipe_of,
    shell,
    targets_by_name,
)
from xturing.quant.schemes import scheme_named

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
    dtype: str
    """Of the weight when it is dense."""


class Manifest(BaseModel):
    """What `quantization.json` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    recipe: Recipe
    layers: tuple[Layer, ...]
    aliases: dict[str, str]
    """Names of tensors that are one with another tensor."""
    sha256: str
    """Of the weights file."""


def save(model: nn.Module, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a model that `quantize` made to a folder.

    Raises:
        QuantizationError: the model is not quantized.
        OutputError: the folder is in use and `overwrite` is off, or the disk is full.
    """
    recipe = recipe_of(model)
    tensors, aliases = _others(model)
    layers: list[Layer] = []
    for name, (backend, module) in quantized_modules(model).items():
        own = backend.tensors(module)
        tensors |= {f"{name}{SEPARATOR}{part}": own[part] for part in own}
        layers += _layers(name, module)
    with new_folder(Path(path).expanduser(), overwrite=overwrite) as draft:
        whole = {name: _own_memory(value) for name, value in tensors.items()}
        save_file(whole, draft / WEIGHTS, metadata={"format": "pt"})
        manifest = Manifest(
            version=VERSION,
            recipe=recipe,
            layers=tuple(sorted(layers, key=lambda layer: layer.module)),
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
    wanted = made.state_dict()
    known = targets_by_name(made)
    for layer in manifest.layers:
        target = _target(layer, known)
        for name in _places(made, target.module, layer.parameter):
            wanted.pop(name, None)
        module = _rebuilt(layer, target, manifest.recipe.backend, tensors)
        made = cast(Model, replaced(made, layer.module, module))
    dense = {name: value for name, value in tensors.items() if SEPARATOR not in name}
    _assign(made, wanted, dense, manifest.aliases)
    _refuse_empty(made)
    setattr(made, RECIPE, manifest.recipe)
    return made


def _layers(name: str, module: nn.Module) -> list[Layer]:
    packed = packed_weights(module)
    if packed:
        return [
            Layer(
                module=name,
                parameter=parameter,
                scheme=weight.scheme.name,
                group_size=weight.group_size,
                shape=weight.shape,
                dtype=_dtype_name(weight.dtype),
            )
            for parameter, weight in packed.items()
        ]
    # The other backends keep linear layers alone.
    layer, origin = cast(nn.Linear, module), origin_of(module)
    if origin is None:
        raise QuantizationError(
            f"'{name}' was not made by xturing.quant.quantize, so there is no saying "
            "how its weight is kept."
        )
    return [
        Layer(
            module=name,
            parameter="weight",
            scheme=origin.scheme,
            group_size=origin.group_size,
            shape=(layer.out_features, layer.in_features),
            dtype=_dtype_name(origin.dtype),
        )
    ]


def _others(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors outside of quantized weights, and those that are aliases."""
    quantized = set(_quantized_names(model))
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[object, ...], str] = {}
    for name, value in model.state_dict().items():
        if name in quantized:
            continue
        place = value.data_ptr(), value.shape, value.stride(), value.dtype
        if value.numel() and place in seen:
            aliases[name] = seen[place]
        else:
            seen[place] = name
            tensors[name] = value
    return tensors, aliases


def _quantized_names(model: nn.Module) -> Iterator[str]:
    """Yield the names in the state dict that are of quantized weights."""
    for _, module in quantized_modules(model).values():
        packed = [f"{PREFIX}{name}." for name in packed_weights(module)]
        for name in module.state_dict():
            # A bias, and modules within the module, are kept as they are.
            if name.startswith(tuple(packed)) if packed else name != "bias":
                yield from _places(model, module, name)


def _places(model: nn.Module, module: nn.Module, name: str) -> Iterator[str]:
    """Yield what the state dict of a model calls a tensor of one of its modules."""
    for place, there in model.named_modules(remove_duplicate=False):
        if there is module:
            yield f"{place}.{name}" if place else name


def _own_memory(value: Tensor) -> Tensor:
    """Return a tensor that shares its memory with no other, as files need them."""
    is_whole = value.untyped_storage().nbytes() == value.nbytes
    return value.contiguous() if is_whole else value.clone().contiguous()


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _target(layer: Layer, known: Mapping[tuple[str, str], Target]) -> Target:
    """Return the weight of the model that a saved one is for, emptied."""
    target = known.get((layer.module, layer.parameter))
    if target is None:
        names = [name for name, _ in known]
        raise QuantizationError(
            f"The saved weights have a layer '{layer.module}' that the model has not. "
            f"{suggestion(layer.module, names)}"
        )
    shape = tuple(target.weight.shape)
    if shape != layer.shape:
        raise QuantizationError(
            f"'{layer.module}' was saved with the shape {layer.shape}, but has {shape} "
            "in this model: it was saved from another architecture."
        )
    dtype = getattr(torch, layer.dtype, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise QuantizationError(f"{MANIFEST} has '{layer.dtype}', which is no dtype.")
    empty = nn.Parameter(torch.empty(shape, dtype=dtype, device="meta"))
    setattr(target.module, target.parameter, empty)
    return target


def _rebuilt(
    layer: Layer, target: Target, backend: str, tensors: Mapping[str, Tensor]
) -> nn.Module:
    start = f"{layer.module}{SEPARATOR}"
    own = {
        name.removeprefix(start): value
        for name, value in tensors.items()
        if name.startswith(start)
    }
    scheme, size = scheme_named(layer.scheme), layer.group_size
    dtype = target.weight.dtype
    try:
        made = BACKENDS[backend].rebuild(target, scheme, size, own)
    except KeyError as error:
        if isinstance(error, XTuringError):
            raise
        raise QuantizationError(
            f"The saved weights lack {error} of '{layer.module}': the folder is "
            "damaged. Copy it again from where it came from."
        ) from error
    if not packed_weights(made):
        setattr(made, ORIGIN, Origin(scheme.name, size, dtype))
    return made


def _assign(
    model: nn.Module,
    wanted: Mapping[str, Tensor],
    dense: Mapping[str, Tensor],
    aliases: Mapping[str, str],
) -> None:
    """Give a model the tensors that are not quantized, tied as they were saved."""
    sources = {name: name for name in dense} | dict(aliases)
    missing = {*sources.values()} - {*dense}
    for name in sorted(({*wanted} ^ {*sources}) | missing):
        where = "the saved weights" if name in {*wanted, *missing} else "the model"
        raise QuantizationError(
            f"'{name}' is missing in {where}: they are of different architectures."
        )
    parameters = dict(model.named_parameters(remove_duplicate=False))
    tied: dict[str, nn.Parameter] = {}
    values: dict[str, Tensor] = {}
    for name, source in sources.items():
        value = dense[source]
        if value.shape != wanted[name].shape:
            raise QuantizationError(
                f"'{name}' was saved with the shape {tuple(value.shape)}, but has "
                f"{tuple(wanted[name].shape)} in this model."
            )
        if name in parameters:
            learns = parameters[name].requires_grad
            value = tied.setdefault(source, nn.Parameter(value, learns))
        values[name] = value
    model.load_state_dict(values, strict=False, assign=True)


def _refuse_empty(model: nn.Module) -> None:
    for name, buffer in model.named_buffers():
        if buffer.device.type == "meta":
            raise QuantizationError(
                f"'{name}' has no values: it is in no file, and the given model is on "
                "the meta device. Give a model that was made on another device."
            )


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
