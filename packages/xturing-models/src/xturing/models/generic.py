"""Any causal language model, by its folder or hub id."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from xturing.models.base import BaseModel
from xturing.models.variant import SCHEMES, Variant


class GenericModel(BaseModel):
    """Any causal language model, trained in all its weights."""

    variant_name: ClassVar[str] = "generic"

    def __init__(
        self,
        model_name: str | Path,
        weights_path: str | Path | None = None,
        *,
        chat_template: str | None = None,
        trust_remote_code: bool = False,
        backend: str | None = None,
        group_size: int | None = None,
    ) -> None:
        super().__init__(
            self.variant_name,
            model_name=str(model_name),
            weights_path=weights_path,
            chat_template=chat_template,
            trust_remote_code=trust_remote_code,
            backend=backend,
            group_size=group_size,
        )


class GenericLoraModel(BaseModel):
    """Any causal language model with a LoRA adapter.

    `target_modules` are the names of the layers to adapt: all linear ones if not given.
    """

    variant_name: ClassVar[str] = "generic_lora"

    def __init__(
        self,
        model_name: str | Path,
        target_modules: Sequence[str] | None = None,
        weights_path: str | Path | None = None,
        *,
        chat_template: str | None = None,
        trust_remote_code: bool = False,
        backend: str | None = None,
        group_size: int | None = None,
    ) -> None:
        super().__init__(
            self.variant_name,
            model_name=str(model_name),
            target_modules=target_modules,
            weights_path=weights_path,
            chat_template=chat_template,
            trust_remote_code=trust_remote_code,
            backend=backend,
            group_size=group_size,
        )


Door = TypeVar("Door", GenericModel, GenericLoraModel)


def _quantized(whole: type[Door], scheme: str) -> type[Door]:
    """Return the class beside `whole` whose weights are in a quantization scheme."""
    origin = Variant.parse(whole.variant_name)
    variant = Variant(origin.family, origin.adapter, scheme)
    doc = (
        f"{whole.__doc__}\n    Its weights are kept in {SCHEMES[scheme].quantization}."
    )
    members = {"variant_name": variant.name, "__doc__": doc, "__module__": __name__}
    return type(variant.class_name, (whole,), members)


GenericInt8Model = _quantized(GenericModel, "int8")
GenericKbitModel = _quantized(GenericModel, "kbit")
GenericInt4Model = _quantized(GenericModel, "int4")
GenericInt3Model = _quantized(GenericModel, "int3")
GenericInt2Model = _quantized(GenericModel, "int2")
GenericInt1Model = _quantized(GenericModel, "int1")
GenericLoraInt8Model = _quantized(GenericLoraModel, "int8")
GenericLoraKbitModel = _quantized(GenericLoraModel, "kbit")
GenericLoraInt4Model = _quantized(GenericLoraModel, "int4")
GenericLoraInt3Model = _quantized(GenericLoraModel, "int3")
GenericLoraInt2Model = _quantized(GenericLoraModel, "int2")
GenericLoraInt1Model = _quantized(GenericLoraModel, "int1")
