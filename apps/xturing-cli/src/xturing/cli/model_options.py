"""The options that name a model, alike in every command, and what they open."""

from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render
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
LengthOption = Annotated[
    int | None,
    typer.Option("--max-new-tokens", min=1, help="Longest answer, in tokens."),
]


def open_chosen(
    model: str, weights: str | None, max_new_tokens: int | None = None
) -> "BaseModel":
    """Return the model that the options name, and show what it takes to open it."""
    from xturing.models import BaseModel, open_model

    with render.notices():
        if weights is None:
            opened = open_model(model)
        else:
            opened = BaseModel.create(model, model_name=weights)
    if max_new_tokens is not None:
        values = {"max_new_tokens": max_new_tokens}
        layer = Layer(source="option --max-new-tokens", values=values)
        opened.configure(generation=layer)
    return opened
