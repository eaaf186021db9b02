"""The kinds of settings that files and `--set` can hold, by the names users have."""

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.core.errors import UnknownNameError
from xturing.core.names import suggestion

if TYPE_CHECKING:
    from xturing.core.settings import Settings

KINDS = {
    "finetuning": "xturing.models:FinetuningConfig",
    "generation": "xturing.models:GenerationConfig",
    "evaluation": "xturing.eval:EvalConfig",
    "selfinstruct": "xturing.selfinstruct:SelfInstructConfig",
    "documents": "xturing.selfinstruct:DocumentsConfig",
}
"""Where the class of each kind is."""

KindOption = Annotated[
    str,
    typer.Option(
        "--kind",
        metavar="KIND",
        autocompletion=lambda: [*KINDS],
        help=f"Which settings: {', '.join(KINDS)}.",
    ),
]


def settings_class(kind: str) -> "type[Settings]":
    """Return the class of a kind of settings.

    Raises:
        UnknownNameError: there is no such kind.
    """
    if kind not in KINDS:
        raise UnknownNameError(
            f"There are no '{kind}' settings. {suggestion(kind, KINDS)}"
        )
    module, _, name = KINDS[kind].partition(":")
    return getattr(import_module(module), name)
