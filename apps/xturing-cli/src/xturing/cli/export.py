"""`xturing export`: a model in another program's format, held to the original."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render
from xturing.cli.dry_running import checked_model, show_intent
from xturing.cli.fidelity import GATE_FAILED, as_dict, line
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.model_options import ModelArgument, OptionalModelOption, the_one
from xturing.cli.output_options import (
    DryRunOption,
    OptionalFolderOption,
    OverwriteOption,
)

if TYPE_CHECKING:
    from xturing.models.exporting import Exported


def export(
    to: Annotated[
        str,
        typer.Option(
            "--to", help="What to write: safetensors, gguf, ollama, onnx or openvino."
        ),
    ],
    folder: ModelArgument = None,
    model: OptionalModelOption = None,
    output: OptionalFolderOption = None,
    scheme: Annotated[
        str | None,
        typer.Option(
            "--scheme",
            help="How weights are kept: f16, q8_0 or f32, by gguf and ollama.",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Go on all the same: with what differs from the model."
        ),
    ] = False,
    overwrite: OverwriteOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a model for other programs, open it again, and compare it with the model.

    Without -o it goes to MODEL-FORMAT. With too great a difference the files stay, and
    the command ends with the code 3.
    Example: xturing export tuned --to gguf --scheme q8_0
    """
    from xturing.core.files import refuse_used
    from xturing.models import open_model
    from xturing.models.exporting import EXPORTERS
    from xturing.models.exporting import export as write
    from xturing.models.exporting.exporter import chosen_scheme

    # Before anything slow begins.
    named = the_one(folder, model)
    kept = chosen_scheme(EXPORTERS[to](), to, scheme)
    place = output or Path(f"{Path(named).expanduser().resolve().name}-{to}")
    if not overwrite:
        refuse_used(place)
    if dry_run:
        facts = {"format": to, "scheme": kept, "output": place}
        show_intent({**checked_model(named).facts, **facts}, as_json=as_json)
        return
    with render.notices():
        opened = open_model(named)
    render.note(f"Writing {to}, and comparing the result with the model")
    made = write(opened, to, place, scheme=scheme, overwrite=overwrite)
    if as_json:
        answer(_as_dict(made, to))
    else:
        _show(made, to)
    if not made.is_faithful:
        _complain(made, force)
    render.say()
    render.say(f"Saved to {place}.")


def _as_dict(made: "Exported", to: str) -> dict[str, object]:
    return {
        "format": to,
        "scheme": made.scheme,
        "output": made.folder,
        "files": dict(made.files),
        "fidelity": as_dict(made.fidelity),
        "difference": made.difference,
        "bound": made.bound,
        "passed": made.is_faithful,
    }


def _show(made: "Exported", to: str) -> None:
    render.heading(f"What the model is as {to}")
    if made.scheme is not None:
        line("Weights", made.scheme)
    found = made.fidelity
    line("Compared on", f"{found.positions:,} tokens of a bundled English text")
    line("Same first choice", f"{100 * found.top1_agreement:.1f} % of the tokens")
    line("Divergence", f"{found.divergence:.4f} nats a token (KL)")
    line("Largest difference", f"{made.difference:.1e} of the largest logit")
    render.heading("Files")
    for name, size in made.files:
        render.say(f"{size:>15,}  {name}")


def _complain(made: "Exported", force: bool) -> None:
    """End the command with a code of its own, unless the result is accepted."""
    text = f"The result is not the model: the gate asks for {made.bound}."
    if force:
        render.note(f"{text} It is accepted, as --force is given.")
        return
    render.complain(
        f"{text} The files are in {made.folder}. Try a scheme that keeps more, or "
        "accept it with --force."
    )
    raise typer.Exit(GATE_FAILED)
