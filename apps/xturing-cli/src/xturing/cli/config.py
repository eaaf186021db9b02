"""`xturing config`: what may be set, and what a model, a file and options come to."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xturing.cli import render
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.model_options import OptionalModelOption
from xturing.cli.model_settings import model_settings
from xturing.cli.setting_kinds import KindOption, settings_class
from xturing.cli.setting_options import (
    ConfigOption,
    SetOption,
    setting_layers,
    settings_with_sources,
    show_settings,
)
from xturing.core.errors import SettingsError, UnknownNameError
from xturing.core.names import suggestion

if TYPE_CHECKING:
    from xturing.core.settings import Settings

app = typer.Typer(
    help="""Explain settings: what there is, its value here, and who set it.

    Example: xturing config explain -m smollm2_lora
    """
)


@app.command()
def explain(
    model: OptionalModelOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    kind: KindOption = "finetuning",
    as_json: JsonOption = False,
) -> None:
    """Show each setting as a command would see it, and who set it.

    Example: xturing config explain -m smollm2_lora --set batch_size=4
    """
    layers = setting_layers(config, settings)
    resolved = _defaults(kind, model).layered(*layers)
    if as_json:
        answer(settings_with_sources(resolved))
    else:
        show_settings(resolved)


@app.command()
def schema(
    kind: KindOption = "finetuning",
    field: Annotated[
        str | None, typer.Option("--field", metavar="NAME", help="One setting alone.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the JSON schema of settings: names, types, limits and meanings.

    An editor that knows YAML checks a settings file by it.
    Example: xturing config schema --field learning_rate
    """
    told = settings_class(kind).model_json_schema()
    if field is not None:
        told = _of_field(told, kind, field)
    # It is JSON in any case; the option is here because it is everywhere.
    answer(told) if as_json else render.say(json.dumps(told, indent=2))


def _defaults(kind: str, model: str | None) -> "Settings":
    """Return the settings before files and options."""
    if model is None:
        return settings_class(kind)()
    if kind == "finetuning" or kind == "generation":
        return model_settings(model, kind)
    raise SettingsError(
        f"-m {model} is given, but {kind} settings are the same for all models. Leave "
        "it out, or ask for --kind finetuning or --kind generation."
    )


def _of_field(schema: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """Return the part of a schema that is about one setting.

    Raises:
        UnknownNameError: there is none of that name.
    """
    fields = schema["properties"]
    if name not in fields:
        raise UnknownNameError(
            f"There is no {kind} setting '{name}'. {suggestion(name, fields)}"
        )
    return {name: fields[name]}
