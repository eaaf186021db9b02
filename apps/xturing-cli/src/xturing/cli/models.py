"""`xturing models`: what there is, why it is set up as it is, and its weights."""

from typing import Annotated

import typer

from xturing.cli import render
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.model_options import known_models
from xturing.cli.setting_options import settings_with_sources, show_settings

app = typer.Typer()

NameArgument = Annotated[
    str, typer.Argument(help="A name (`xturing models`).", autocompletion=known_models)
]


@app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the models there are; explain or fetch one.

    Example: xturing models
    """
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List the models there are.

    Example: xturing models list
    """
    _list(as_json=as_json)


@app.command()
def explain(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show each setting of a model, and who set it.

    Example: xturing models explain smollm2_lora
    """
    from xturing.models import Variant

    variant = Variant.parse(name)
    tuning, writing = variant.finetuning_config(), variant.generation_config()
    if as_json:
        told = {"finetuning": tuning, "generation": writing}
        settings = {kind: settings_with_sources(each) for kind, each in told.items()}
        answer({"model": variant.name, **settings})
        return
    for title, settings in (("Fine-tuning", tuning), ("Generation", writing)):
        render.heading(title)
        show_settings(settings)


@app.command()
def pull(name: NameArgument, as_json: JsonOption = False) -> None:
    """Fetch a model's weights ahead of use, and check them.

    Example: xturing models pull smollm2
    """
    from xturing.models import Variant
    from xturing.models.hub import pull as fetch

    variant = Variant.parse(name)
    with render.notices():
        location = fetch(variant.family)
    if as_json:
        answer({"model": variant.family.name, "folder": location.folder})
    else:
        render.say(f"'{variant.family.name}' is in {location.folder}")


def _list(*, as_json: bool) -> None:
    from xturing.models import Variant, families

    spelt = (variant.spelt("") for variant in Variant.all())
    endings = [*dict.fromkeys(f"_{ending}" for ending in spelt if ending)]
    if as_json:
        told = [
            {
                "name": name,
                "aliases": family.aliases,
                "checkpoint": family.checkpoint,
                "licence": family.licence,
            }
            for name, family in families().items()
        ]
        answer({"families": told, "endings": endings})
        return
    rows = []
    for name, family in families().items():
        where = family.checkpoint or "any: --weights FOLDER_OR_ID"
        rows.append([", ".join([name, *family.aliases]), where, family.licence or ""])
    render.table(["names", "checkpoint", "licence"], rows)
    render.say()
    render.say(f"Each name may end in {', '.join(endings)}.")
    render.say("`xturing models explain NAME` shows a model's settings.")
