"""Which weights of a model are quantized."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn

from xturing.core.errors import QuantizationError
from xturing.core.names import suggestion
from xturing.quant.layers import Quantized, is_linear
from xturing.quant.schemes import SCHEMES, SKIP, Scheme

KINDS = ("embeddings", "head", "norms")
# The head and embeddings decide over every token and are a small part of a large
# model, so that they get no fewer bits than these.
HEAD_SCHEME = "int8"


@dataclass(frozen=True)
class Target:
    """A weight to quantize."""

    name: str
    """Of the module, as `named_modules` has it."""
    module: nn.Module
    parameter: str
    kind: str
    """linear, experts, embeddings or head."""

    @property
    def weight(self) -> Tensor:
        """The weight itself."""
        return getattr(self.module, self.parameter)

    def scheme(self, scheme: Scheme) -> Scheme:
        """Return the scheme for this weight when the model is to have `scheme`."""
        is_linear = self.kind in ("linear", "experts")
        return scheme if is_linear or scheme.bits >= 8 else SCHEMES[HEAD_SCHEME]


def targets(model: nn.Module, skip: Sequence[str] = SKIP) -> list[Target]:
    """Return the weights to quantize, in the order of the model.

    `skip` has kinds (embeddings, head, norms) and patterns of module names. Norms are
    vectors and are never quantized.

    Raises:
        QuantizationError: a pattern matches nothing, or no weight is left.
    """
    found = list(_all(model))
    names = [target.name for target in found]
    for pattern in skip:
        known = pattern in KINDS or any(_matches(name, pattern) for name in names)
        if not known:
            raise QuantizationError(
                f"skip has '{pattern}', which is no layer of {type(model).__name__}. "
                f"{suggestion(pattern, {*KINDS, *names})}"
            )
    chosen = [t for t in found if t.weight.numel() and not _skipped(t, skip)]
    if not chosen:
        raise QuantizationError(
            f"{type(model).__name__} has no weight to quantize: it has neither linear "
            f"layers nor experts beside those skipped ({', '.join(skip) or 'none'})."
        )
    return chosen


def refuse_quantized(model: nn.Module) -> None:
    """Raise `QuantizationError` if the model is quantized already."""
    for name, module in model.named_modules():
        if isinstance(module, Quantized) or _is_foreign(module):
            raise QuantizationError(
                f"The model is quantized already ('{name}' is a "
                f"{type(module).__name__}), and quantizing twice loses twice. Start "
                "from the original, or dequantize it first."
            )


def output_head(model: nn.Module) -> nn.Module | None:
    """Return the layer that makes a language model's logits, if it says which it is."""
    getter: Callable[[], nn.Module | None] | None
    getter = getattr(model, "get_output_embeddings", None)
    return getter() if callable(getter) else None


def _all(model: nn.Module) -> Iterator[Target]:
    head = output_head(model)
    for name, module in model.named_modules():
        if is_linear(module):
            kind = "head" if module is head else "linear"
            yield Target(name, module, "weight", kind)
        elif isinstance(module, nn.Embedding):
            yield Target(name, module, "weight", "embeddings")
        elif not isinstance(module, nn.modules.conv._ConvNd):  # noqa: SLF001
            for parameter, weight in module.named_parameters(recurse=False):
                # The experts of a layer share one parameter.
                is_many = weight.ndim == 3 and weight.shape[0] > 1
                if is_many and weight.is_floating_point():
                    yield Target(name, module, parameter, "experts")


def _skipped(target: Target, skip: Sequence[str]) -> bool:
    return target.kind in skip or any(_matches(target.name, part) for part in skip)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or name.rpartition(".")[2] == pattern


def _is_foreign(module: nn.Module) -> bool:
    libraries = ("bitsandbytes.", "torchao.", "gptqmodel.")
    weight = module._parameters.get("weight")  # noqa: SLF001
    return type(module).__module__.startswith(libraries) or (
        weight is not None and type(weight).__module__.startswith(libraries)
    )
