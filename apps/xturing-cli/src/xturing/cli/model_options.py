"""The options that name a model, alike in every command, and what they open."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render
from xturing.core.errors import SettingsError
from xturing.core.settings import Layer

if TYPE_CHECKING:
    from xturing.models import BaseModel

ModelOption = Annotated[
    str, typer.Option("-m", "--model", help="A name (`xturing models`) or a folder.")
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="Folder, GGUF file or hub id of the weights; generic models need it.",
    ),
]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        "--chat-template",
        help="How conversations are written, in place of the tokenizer's own way: "
        "chatml, llama3, … or a .jinja file.",
    ),
]
LengthOption = Annotated[
    int | None,
    typer.Option("--max-new-tokens", min=1, help="Longest answer, in tokens."),
]


EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        help="What computes: torch, native, openvino, vllm; auto: the fastest here.",
    ),
]


def open_chosen(
    model: str,
    weights: str | None,
    max_new_tokens: int | None = None,
    chat_template: str | None = None,
    *,
    any_template: bool = False,
) -> "BaseModel":
    """Return the model that the options name, and show what it takes to open it.

    Raises:
        SettingsError: a chat template is given for a saved model, which has its own.
    """
    from xturing.models import BaseModel, open_model

    refuse_template(model, chat_template)
    with render.notices():
        said = {"model_name": weights, "chat_template": chat_template}
        given = {name: value for name, value in said.items() if value is not None}
        if any_template and Path(model).expanduser().is_dir():
            opened = BaseModel.load(model, any_template=True)
        else:
            opened = BaseModel.create(model, **given) if given else open_model(model)
    if max_new_tokens is not None:
        values = {"max_new_tokens": max_new_tokens}
        layer = Layer(source="option --max-new-tokens", values=values)
        opened.configure(generation=layer)
    return opened


def refuse_template(model: str, chat_template: str | None) -> None:
    """Raise `SettingsError` if a saved model is to be written to in another way."""
    if chat_template is not None and Path(model).expanduser().is_dir():
        raise SettingsError(
            f"--chat-template {chat_template} is given, but {model} is a saved model, "
            "which answers in the format that it was trained with. Leave it out."
        )
