"""The options of commands that take settings, and the layers that they make."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from xturing.cli import render
from xturing.core.settings import DEFAULT, Layer, Settings, parse_setting, read_layers

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="YAML file with settings; it may have `extends: other.yaml`."
    ),
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
    layers = read_layers(config) if config is not None else []
    layers += [parse_setting(text, option="--set") for text in settings or []]
    for name, (option, value) in (own or {}).items():
        if value is not None:
            source = f"option {option}"
            layers.append(Layer(source=source, values={name: str(value)}))
    return layers


def generation_layers(config: Path | None, settings: list[str] | None) -> list[Layer]:
    """Return the layers for how a model writes, before anything slow begins.

    Raises:
        SettingsError: a name or a value in them is wrong.
    """
    layers = setting_layers(config, settings)
    if layers:
        from xturing.models import GenerationConfig

        GenerationConfig.resolve(*layers)
    return layers


def settings_with_sources(settings: Settings) -> dict[str, dict[str, object]]:
    """Return each setting's value and who set it, for a JSON document."""
    values = settings.model_dump(mode="json")
    return {
        name: {"value": values[name], "source": source}
        for name, source in settings.sources.items()
    }


def show_settings(settings: Settings, *, only_set: bool = False) -> None:
    """Show each setting, its value and who set it; `only_set`: not those nobody set."""
    rows = [
        [name, str(each["value"]), str(each["source"])]
        for name, each in settings_with_sources(settings).items()
        if not (only_set and each["source"] == DEFAULT)
    ]
    render.table(["setting", "value", "set by"], rows)
