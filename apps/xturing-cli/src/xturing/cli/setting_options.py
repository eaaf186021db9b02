"""The options of commands that take settings, and the layers that they make."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from xturing.core.settings import Layer, parse_setting, read_yaml

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="YAML file with settings.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="FIELD=VALUE", help="A setting; may be given many times."
    ),
]


def setting_layers(
    config: Path | None,
    settings: list[str] | None,
    own: Mapping[str, tuple[str, object]] | None = None,
) -> list[Layer]:
    """Return the layers of settings that the options make, the strongest last.

    `own` are settings with options of their own: the option, and what was given; what
    is None was not.
    """
    layers = [read_yaml(config)] if config is not None else []
    layers += [parse_setting(text, option="--set") for text in settings or []]
    for name, (option, value) in (own or {}).items():
        if value is not None:
            source = f"option {option}"
            layers.append(Layer(source=source, values={name: str(value)}))
    return layers
