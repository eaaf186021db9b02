"""Exporting: a model written in another program's format, and what that did to it.

Knows nothing of the formats: each is an `Exporter`, which writes a whole model's files
and opens them again as the other program would.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from xturing.core.errors import ModelError, SettingsError
from xturing.core.files import new_folder, refuse_used
from xturing.core.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from xturing.models.base import BaseModel
    from xturing.quant import Fidelity

LEAST_AGREEMENT = 0.95
"""Share of the tokens at which rounded weights have to have the same first choice."""
MOST_DIFFERENCE = 1e-3
"""Largest difference of whole weights' logits, as a share of the largest logit: what
sums in another order make is a hundredth of it."""


@dataclass(frozen=True)
class Reopened:
    """An exported model as another program reads it."""

    model: "nn.Module"
    """Takes token ids of shape (1, seq), and returns their logits."""
    tokenizer: Any
    context_length: int | None = None
    """Most tokens that it reads, if these may be fewer than the original's."""


class Exporter(Protocol):
    """A format that models can be written in."""

    schemes: Sequence[str]
    """How its files can keep weights, the default first; none: as the model does."""
    rounded: Sequence[str]
    """Those of them that round the weights."""

    def write(self, model: "BaseModel", folder: Path, scheme: str | None) -> None:
        """Write a model, its weights dense and without an adapter, to a folder.

        Raises:
            ModelError: the format cannot hold it.
        """
        ...

    def reopen(self, folder: Path, model: "BaseModel") -> Reopened:
        """Return what another program makes of the folder.

        `model` is what was written; it tells what that program has to be told.
        """
        ...


EXPORTERS: Registry[Callable[[], Exporter]] = Registry(
    "export format",
    "xturing.exporters",
    {
        "gguf": "xturing.models.exporting.gguf:Gguf",
        "ollama": "xturing.models.exporting.ollama:Ollama",
        "onnx": "xturing.models.exporting.onnx:Onnx",
        "openvino": "xturing.models.exporting.openvino:OpenVino",
        "safetensors": "xturing.models.exporting.safetensors:Safetensors",
    },
)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A model in another program's format, and how far it is from the original."""

    folder: Path
    files: tuple[tuple[str, int], ...]
    """Names and sizes in bytes."""
    scheme: str | None
    """How the weights are kept; None: as the model keeps them."""
    is_rounded: bool
    """Whether the weights, or the original's, are rounded."""
    fidelity: "Fidelity"
    difference: float
    """Largest difference of two logits, as a share of the largest logit."""

    @property
    def is_faithful(self) -> bool:
        """Whether it passes the gate: by first choices if rounded, else by logits."""
        if self.is_rounded:
            return self.fidelity.top1_agreement >= LEAST_AGREEMENT
        return self.difference <= MOST_DIFFERENCE

    @property
    def bound(self) -> str:
        """What the gate asks for, in words."""
        if self.is_rounded:
            return f"the same first choice at {LEAST_AGREEMENT:.0%} of the tokens"
        return f"logits that differ by at most {MOST_DIFFERENCE:g} of the largest"


def export(
    model: "BaseModel",
    to: str,
    output: str | Path,
    *,
    scheme: str | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model in a format of `EXPORTERS`, open it again, and compare the two.

    An adapter is merged and quantized weights are dequantized for it; `model` stays as
    it is. The files stay whatever the comparison shows.

    Raises:
        UnknownNameError: there is no such format.
        SettingsError: it has no such scheme.
        ModelError: it cannot hold the model, or reads it with another tokenizer.
        MissingDependencyError: a library that it needs is not installed.
        OutputError: the folder is in use and `overwrite` is off.
    """
    from xturing.models.exporting.comparing import compared, refuse_other_ids
    from xturing.models.exporting.whole import whole

    exporter = EXPORTERS[to]()
    scheme = chosen_scheme(exporter, to, scheme)
    path = Path(output).expanduser()
    if not overwrite:
        refuse_used(path)
    made = whole(model)
    with new_folder(path, overwrite=overwrite) as draft:
        exporter.write(made, draft, scheme)
    reopened = exporter.reopen(path, made)
    refuse_other_ids(model.engine.tokenizer, reopened.tokenizer, path)
    fidelity, difference = compared(model, reopened.model, reopened.context_length)
    return Exported(
        folder=path,
        files=tuple(
            (file.relative_to(path).as_posix(), file.stat().st_size)
            for file in sorted(path.rglob("*"))
            if file.is_file()
        ),
        scheme=scheme,
        is_rounded=scheme in exporter.rounded or _rounds(model),
        fidelity=fidelity,
        difference=difference,
    )


def chosen_scheme(exporter: Exporter, to: str, scheme: str | None) -> str | None:
    """Return the scheme that was asked for, or else the format's default.

    Raises:
        SettingsError: the format has no such scheme.
    """
    if scheme is None:
        return next(iter(exporter.schemes), None)
    if not exporter.schemes:
        raise SettingsError(
            f"The format '{to}' keeps weights as the model does, so there is no scheme "
            f"'{scheme}' of it. Leave it out, or export a quantized model."
        )
    if scheme not in exporter.schemes:
        raise SettingsError(
            f"The format '{to}' has no scheme '{scheme}'. It has "
            f"{', '.join(exporter.schemes)}."
        )
    return scheme


def _rounds(model: "BaseModel") -> bool:
    """Tell whether the model itself computes with rounded numbers."""
    import torch

    is_short = model.engine.device.dtype != torch.float32
    return is_short or model.quantization is not None


def refuse_type(model: "BaseModel", types: Sequence[str], to: str) -> str:
    """Return the model's type, if it is one of those that a format holds.

    Raises:
        ModelError: it is not.
    """
    found = model.engine.model.config.model_type
    if found not in types:
        raise ModelError(
            f"'{model.config_name}' is of the type {found}, which is not written as "
            f"{to}; these are: {', '.join(sorted(types))}. Export it as safetensors, "
            "which other programs' own converters read."
        )
    return found
