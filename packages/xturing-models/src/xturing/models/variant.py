"""Variants of a family: a family, an adapter and a quantization scheme.

A variant's name is put together from its parts (`llama_lora_int8`) and is read back by
looking it up among all the names there are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import cast

from xturing.core.errors import UnknownNameError
from xturing.core.names import suggestion
from xturing.core.settings import Layer
from xturing.models.family import (
    AdapterName,
    Decoding,
    Family,
    TuningKey,
    bundled,
    families,
)
from xturing.models.settings import FinetuningConfig, GenerationConfig


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """An adapter or a scheme: its part of a variant's name and of its defaults."""

    suffix: str = ""
    title: str = ""
    """Its part of a Python class name."""
    quantization: str | None = None
    """The quantization scheme that the weights are in."""
    tuning: Mapping[str, object] = field(default_factory=dict)
    tuned_as: str = ""
    """Its part of the keys under which families keep fine-tuning defaults."""
    decoding: Decoding | None = None
    """How variants with it write, unless their family says so of them."""


def _quantized(name: str, quantization: str, *, tuned_as: str = "kbit") -> Ingredient:
    return Ingredient(
        suffix=name,
        title=name.title(),
        quantization=quantization,
        tuning={"learning_rate": 1e-4, "batch_size": 8, "max_length": 256},
        tuned_as=tuned_as,
        decoding="greedy",
    )


ADAPTERS: dict[AdapterName, Ingredient] = {
    "none": Ingredient(),
    "lora": Ingredient(
        suffix="lora", title="Lora", tuning={"learning_rate": 1e-4}, tuned_as="lora"
    ),
}
SCHEMES: dict[str, Ingredient] = {
    "none": Ingredient(),
    "int8": _quantized("int8", "int8", tuned_as="int8"),
    # The predecessor's name for 4 bits.
    "kbit": _quantized("kbit", "int4"),
    "int4": _quantized("int4", "int4"),
    "int3": _quantized("int3", "int3"),
    "int2": _quantized("int2", "int2"),
    "int1": _quantized("int1", "int1"),
}

EVERY_MODEL = {"weight_decay": 0.01, "num_train_epochs": 3}
DECODING: dict[Decoding, dict[str, object]] = {
    "greedy": {"do_sample": False},
    "nucleus": {"do_sample": True, "top_k": 0, "top_p": 0.92},
    "contrastive": {"penalty_alpha": 0.6, "top_k": 4, "do_sample": False},
}


@dataclass(frozen=True)
class Variant:
    """A family with an adapter and a scheme."""

    family: Family
    adapter: AdapterName = "none"
    scheme: str = "none"

    @property
    def name(self) -> str:
        """What users write, such as "llama_lora_int8"."""
        return self.spelt(self.family.name)

    @property
    def class_name(self) -> str:
        """The name of the Python class, such as "LlamaLoraInt8"."""
        suffix = "".join(part.title for part in self._ingredients)
        if self.family.checkpoint is None:
            return f"{self.family.title}{suffix}Model"
        return f"{self.family.title}{suffix}"

    @property
    def quantization(self) -> str | None:
        """The quantization scheme that the weights are in; None: they are whole."""
        return SCHEMES[self.scheme].quantization

    def spelt(self, family: str) -> str:
        """Return the name, with this one of the family's names in it."""
        parts = family, *(part.suffix for part in self._ingredients)
        return "_".join(part for part in parts if part)

    @classmethod
    def parse(cls, name: str) -> "Variant":
        """Return the variant of that name.

        Raises:
            UnknownNameError: there is none; the message has the nearest ones.
        """
        found = cls.find(name)
        if found is None:
            known = {**_by_name(), **_plug_ins()}
            raise UnknownNameError(
                f"There is no model '{name}'. {suggestion(name, known)} "
                "`xturing models` lists them all; for any other checkpoint, use "
                "'generic' or 'generic_lora' with its folder or hub id."
            )
        return found

    @classmethod
    def find(cls, name: str) -> "Variant | None":
        """Return the variant of that name, if there is one."""
        return _by_name().get(name) or _plug_ins().get(name)

    @classmethod
    def of_class(cls, class_name: str) -> "Variant | None":
        """Return the variant whose class has that name, if there is one."""
        return _by_class().get(class_name) or _classes(_plug_ins()).get(class_name)

    @classmethod
    def all(cls) -> "list[Variant]":
        """Return every variant there is."""
        known = {**_by_name(), **_plug_ins()}
        return [variant for name, variant in known.items() if name == variant.name]

    def finetuning_config(self) -> FinetuningConfig:
        """Return the variant's defaults, each with the layer it comes from."""
        adapter, scheme = self._ingredients
        own: dict[str, object] = {"lora_targets": self.family.lora_targets}
        for key in self._tuning_keys:
            own |= self.family.tuning.get(key, {})
        return FinetuningConfig.resolve(
            Layer(source="every model", values=EVERY_MODEL),
            Layer(source=f"adapter {self.adapter}", values=adapter.tuning),
            Layer(source=f"scheme {self.scheme}", values=scheme.tuning),
            Layer(source=f"family {self.family.name}", values=own),
        )

    def generation_config(self) -> GenerationConfig:
        """Return how the variant writes, each value with the layer it comes from."""
        family = self.family
        decoding, source = self._decoding
        return GenerationConfig.resolve(
            Layer(source=f"decoding {decoding} of {source}", values=DECODING[decoding]),
            Layer(
                source=f"family {family.name}",
                values={"max_new_tokens": family.max_new_tokens},
            ),
        )

    @property
    def _ingredients(self) -> tuple[Ingredient, Ingredient]:
        return ADAPTERS[self.adapter], SCHEMES[self.scheme]

    @property
    def _tuning_keys(self) -> list[TuningKey]:
        """The keys of a family's defaults that hold for it, the strongest last."""
        parts = [part.tuned_as for part in self._ingredients if part.tuned_as]
        keys = ["all", *parts, "_".join(parts) or "none"]
        return cast("list[TuningKey]", keys)

    @property
    def _decoding(self) -> tuple[Decoding, str]:
        """How it writes, and who says so."""
        family, scheme = self.family, SCHEMES[self.scheme]
        if scheme.decoding is None:
            return family.decoding, f"family {family.name}"
        if family.quantized_decoding is None:
            return scheme.decoding, f"scheme {self.scheme}"
        return family.quantized_decoding, f"family {family.name}"


def variant_scheme(quantization: str) -> str:
    """Return the variants' name for a quantization scheme; "none" if they have none."""
    named = (name for name in SCHEMES if SCHEMES[name].quantization == quantization)
    return next((name for name in named if name == quantization), "none")


@cache
def _by_name() -> dict[str, Variant]:
    """Return the variants of this package's families, by all their names."""
    return _named(bundled())


@cache
def _by_class() -> dict[str, Variant]:
    return _classes(_by_name())


def _plug_ins() -> dict[str, Variant]:
    known = {family.name for family in bundled()}
    return _named(families()[name] for name in families() if name not in known)


def _named(rows: Iterable[Family]) -> dict[str, Variant]:
    return {
        variant.spelt(name): variant
        for family in rows
        for adapter in ADAPTERS
        for scheme in SCHEMES
        for variant in [Variant(family, adapter, scheme)]
        for name in (family.name, *family.aliases)
    }


def _classes(named: Mapping[str, Variant]) -> dict[str, Variant]:
    return {variant.class_name: variant for variant in named.values()}
