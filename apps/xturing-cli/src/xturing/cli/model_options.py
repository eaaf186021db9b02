"""The options that name a model, alike in every command, and what they open."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render
from xturing.core.errors import SettingsError
from xturing.core.settings import Layer

if TYPE_CHECKING:
    from xturing.models import BaseModel

MODEL_HELP = "A name (`xturing models`) or a folder."


def known_models(incomplete: str) -> list[str]:
    """Return the models whose names begin so, for a shell that completes them."""
    from xturing.models import Variant

    names = (variant.name for variant in Variant.all())
    return [name for name in names if name.startswith(incomplete)]


_MODEL = typer.Option("-m", "--model", help=MODEL_HELP, autocompletion=known_models)
ModelOption = Annotated[str, _MODEL]
OptionalModelOption = Annotated[str | None, _MODEL]
ModelArgument = Annotated[
    str | None,
    typer.Argument(metavar="MODEL", help=MODEL_HELP, autocompletion=known_models),
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
        help="Who answers: torch, native, openvino or vllm; auto: the fastest here.",
    ),
]


def the_one(argument: str | None, option: str | None) -> str:
    """Return the model that a command is given, by its argument or by -m.

    Raises:
        SettingsError: it is given twice, or not at all.
    """
    if argument is not None and option is not None:
        raise SettingsError(
            f"'{argument}' and -m {option} both name a model. Leave one of them out."
        )
    named = argument if option is None else option
    if named is None:
        raise SettingsError("Name a model: -m smollm2, or the folder of one.")
    return named


def open_chosen(
    model: str,
    weights: str | None,
    max_new_tokens: int | None = None,
    chat_template: str | None = None,
    *,
    any_template: bool = False,
    layers: Sequence[Layer] = (),
) -> "BaseModel":
    """Return the model that the options name, and show what it takes to open it.

    It writes as the layers say, the last one winning, and `max_new_tokens` over all.

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
        layers = [*layers, length_layer(max_new_tokens)]
    for layer in layers:
        opened.configure(generation=layer)
    return opened


def length_layer(max_new_tokens: int) -> Layer:
    """Return the setting that --max-new-tokens makes."""
    values = {"max_new_tokens": max_new_tokens}
    return Layer(source="option --max-new-tokens", values=values)


def refuse_template(model: str, chat_template: str | None) -> None:
    """Raise `SettingsError` if a saved model is to be written to in another way."""
    if chat_template is not None and Path(model).expanduser().is_dir():
        raise SettingsError(
            f"--chat-template {chat_template} is given, but {model} is a saved model, "
            "which answers in the format that it was trained with. Leave it out."
        )
