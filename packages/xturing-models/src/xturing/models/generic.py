"""Any causal language model, by its folder or hub id."""

from collections.abc import Sequence
from pathlib import Path

from xturing.models.base import BaseModel


class GenericModel(BaseModel):
    """Any causal language model, trained in all its weights."""

    def __init__(
        self,
        model_name: str | Path,
        weights_path: str | Path | None = None,
        *,
        chat_template: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        super().__init__(
            "generic",
            model_name=str(model_name),
            weights_path=weights_path,
            chat_template=chat_template,
            trust_remote_code=trust_remote_code,
        )


class GenericLoraModel(BaseModel):
    """Any causal language model with a LoRA adapter.

    `target_modules` are the names of the layers to adapt: all linear ones if not given.
    """

    def __init__(
        self,
        model_name: str | Path,
        target_modules: Sequence[str] | None = None,
        weights_path: str | Path | None = None,
        *,
        chat_template: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        super().__init__(
            "generic_lora",
            model_name=str(model_name),
            target_modules=target_modules,
            weights_path=weights_path,
            chat_template=chat_template,
            trust_remote_code=trust_remote_code,
        )
