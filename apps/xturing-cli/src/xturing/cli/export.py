"""`xturing export`: a model in another program's format, held to the original."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render
from xturing.cli.fidelity import GATE_FAILED, line

if TYPE_CHECKING:
    from xturing.models.exporting import Exported


def export(
    model: Annotated[
        str, typer.Argument(metavar="DIR", help="A saved model's folder, or a name.")
    ],
    to: Annotated[
        str, typer.Option("--to", help="safetensors, gguf, ollama, onnx or openvino.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A new folder; DIR-FORMAT otherwise."),
    ] = None,
    scheme: Annotated[
        str | None,
        typer.Option(
            "--scheme", help="How gguf and ollama keep weights: f16, q8_0 or f32."
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Accept a result that differs from the model."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the folder if it is there.")
    ] = False,
) -> None:
    """Write a model for other programs, open it again, and compare it with the model.

    With too great a difference the files stay, and the command ends with the code 3.
    Example: xturing export tuned --to gguf --scheme q8_0
    """
    from xturing.core.files import refuse_used
    from xturing.models import open_model
    from xturing.models.exporting import EXPORTERS
    from xturing.models.exporting import export as write
    from xturing.models.exporting.exporter import chosen_scheme

    # Before anything slow begins.
    chosen_scheme(EXPORTERS[to](), to, scheme)
    folder = output or Path(f"{Path(model).expanduser().resolve().name}-{to}")
    if not overwrite:
        refuse_used(folder)
    with render.notices():
        opened = open_model(model)
    render.note(f"Writing {to}, and comparing the result with the model")
    made = write(opened, to, folder, scheme=scheme, overwrite=overwrite)
    _show(made, to)
    if not made.is_faithful:
        _complain(made, force)
    render.say()
    render.say(f"Saved to {folder}.")


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
