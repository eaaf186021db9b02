"""Variants of a family: a family, an adapter and a quantization scheme.

A variant's name is put together from its parts (`llama_lora`) and is read back by
looking it up among all the names there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from xturing.core.errors import UnknownNameError
from xturing.core.names import suggestion
from xturing.core.settings import Layer
from xturing.models.family import AdapterName, Decoding, Family, families
from xturing.models.settings import FinetuningConfig, GenerationConfig


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """An adapter or a scheme: its part of a variant's name and of its defaults."""

    suffix: str = ""
    title: str = ""
    """Its part of a Python class name."""
    tuning: Mapping[str, object] = field(default_factory=dict)


ADAPTERS: dict[AdapterName, Ingredient] = {
    "none": Ingredient(),
    "lora": Ingredient(suffix="lora", title="Lora", tuning={"learning_rate": 1e-4}),
}
SCHEMES: dict[str, Ingredient] = {"none": Ingredient()}

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
        """What users write, such as "llama_lora"."""
        parts = self.family.name, *(part.suffix for part in self._ingredients)
        return "_".join(part for part in parts if part)

    @property
    def class_name(self) -> str:
        """The name of the Python class, such as "LlamaLora"."""
        suffix = "".join(part.title for part in self._ingredients)
        if self.family.checkpoint is None:
            return f"{self.family.title}{suffix}Model"
        return f"{self.family.title}{suffix}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the variant of that name.

        Raises:
            UnknownNameError: there is none; the message has the nearest ones.
        """
        variants = {variant.name: variant for variant in cls.all()}
        if name not in variants:
            raise UnknownNameError(
                f"There is no model '{name}'. {suggestion(name, variants)} "
                "`xturing models` lists them all; for any other checkpoint, use "
                "'generic' or 'generic_lora' with its folder or hub id."
            )
        return variants[name]

    @classmethod
    def all(cls) -> list[Self]:
        """Return every variant there is."""
        return [
            cls(family, adapter, scheme)
            for family in families().values()
            for adapter in family.adapters
            for scheme in SCHEMES
        ]

    def finetuning_config(self) -> FinetuningConfig:
        """Return the variant's defaults, each with the layer it comes from."""
        family = self.family
        return FinetuningConfig.resolve(
            Layer(source="every model", values=EVERY_MODEL),
            Layer(
                source=f"adapter {self.adapter}", values=ADAPTERS[self.adapter].tuning
            ),
            Layer(source=f"scheme {self.scheme}", values=SCHEMES[self.scheme].tuning),
            Layer(
                source=f"family {family.name}",
                values={
                    "lora_targets": family.lora_targets,
                    **family.tuning.get("all", {}),
                    **family.tuning.get(self.adapter, {}),
                },
            ),
        )

    def generation_config(self) -> GenerationConfig:
        """Return how the variant writes, each value with the layer it comes from."""
        family = self.family
        return GenerationConfig.resolve(
            Layer(
                source=f"decoding {family.decoding}", values=DECODING[family.decoding]
            ),
            Layer(
                source=f"family {family.name}",
                values={"max_new_tokens": family.max_new_tokens},
            ),
        )

    @property
    def _ingredients(self) -> tuple[Ingredient, Ingredient]:
        return ADAPTERS[self.adapter], SCHEMES[self.scheme]
