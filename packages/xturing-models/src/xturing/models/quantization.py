"""How a model's weights are to be quantized, and what a folder says of its own.

Knows nothing of torch; `packing` does what is said here.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from xturing.core.errors import ModelError
from xturing.quant.schemes import SKIP

METHOD = "xturing"
"""What transformers calls weights that the native backend packed."""


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """A scheme, and how the weights are kept in it."""

    scheme: str
    backend: str = "auto"
    group_size: int | None = None
    skip: tuple[str, ...] = SKIP

    @classmethod
    def from_card(cls, values: Mapping[str, Any]) -> "Quantization":
        """Return what `to_card` wrote."""
        known = {name: values[name] for name in ("scheme", "backend", "group_size")}
        return cls(**known, skip=tuple(values["skip"]))

    def to_card(self) -> dict[str, Any]:
        """Return it as a saved model's `xturing.json` has it."""
        return {**asdict(self), "skip": list(self.skip)}


def found_in(config: Mapping[str, Any]) -> Quantization | None:
    """Return how the weights beside a config.json are quantized; None: they are whole.

    The scheme is the method's name where it is none of ours.
    """
    values = config.get("quantization_config")
    if values is None:
        return None
    method = str(values.get("quant_method"))
    if method == METHOD:
        return Quantization(
            scheme=values["scheme"],
            backend="native",
            group_size=values.get("group_size"),
            skip=tuple(values.get("skip", SKIP)),
        )
    scheme = method
    if method == "bitsandbytes":
        eight = values.get("load_in_8bit")
        scheme = "int8" if eight else str(values.get("bnb_4bit_quant_type"))
    elif method == "gptq":
        scheme = f"int{values.get('bits')}"
    elif method == "torchao" and "Int8WeightOnly" in str(values):
        scheme = "int8"
    return Quantization(scheme=scheme, backend=method)


def reconciled(
    there: Quantization, wanted: Quantization, where: object
) -> Quantization:
    """Return how weights are quantized, if that is how they should be.

    Raises:
        ModelError: they are in another scheme, or kept by another backend.
    """
    same = there.scheme == wanted.scheme and wanted.backend in ("auto", there.backend)
    if same and wanted.group_size in (None, there.group_size):
        return replace(wanted, backend=there.backend, group_size=there.group_size)
    raise ModelError(
        f"The weights in {where} are quantized already, in {there.scheme} by "
        f"{there.backend}; {wanted.scheme} by {wanted.backend} is wanted. Open them "
        "with a variant of that scheme, or as 'generic' or 'generic_lora', or start "
        "from the original weights."
    )
