"""`xturing models`: what there is, why it is set up as it is, and its weights."""

import typer

from xturing.cli import render

app = typer.Typer(help="List the models there are; explain or fetch one.")


@app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List the models there are."""
    if context.invoked_subcommand is not None:
        return
    from xturing.models import Variant, families

    rows = []
    for name, family in families().items():
        where = family.checkpoint or "any: --weights FOLDER_OR_ID"
        rows.append([", ".join([name, *family.aliases]), where, family.licence or ""])
    render.table(["names", "checkpoint", "licence"], rows)
    spelt = (variant.spelt("") for variant in Variant.all())
    endings = dict.fromkeys(f"_{ending}" for ending in spelt if ending)
    render.say()
    render.say(f"Each name may end in {', '.join(endings)}.")
    render.say("`xturing models explain NAME` shows a model's settings.")


@app.command()
def explain(name: str) -> None:
    """Show each setting of a model, and who set it.

    Example: xturing models explain smollm2_lora
    """
    from xturing.models import Variant

    variant = Variant.parse(name)
    for title, settings in (
        ("Fine-tuning", variant.finetuning_config()),
        ("Generation", variant.generation_config()),
    ):
        values = settings.model_dump(mode="json")
        render.heading(title)
        rows = [
            [field, str(values[field]), source]
            for field, source in settings.sources.items()
        ]
        render.table(["setting", "value", "set by"], rows)


@app.command()
def pull(name: str) -> None:
    """Fetch a model's weights ahead of use, and check them.

    Example: xturing models pull smollm2
    """
    from xturing.models import Variant
    from xturing.models.hub import pull as fetch

    variant = Variant.parse(name)
    with render.notices():
        location = fetch(variant.family)
    render.say(f"'{variant.family.name}' is in {location.folder}")
