"""`xturing estimate`: the memory that a model needs, told from its config.json."""

from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.model_options import ModelOption, WeightsOption

if TYPE_CHECKING:
    from xturing.models.estimating import Estimate


def estimate(
    model: ModelOption,
    weights: WeightsOption = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="Rows at once: those to train on."),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            "--max-length", min=2, help="Most tokens of a row: and of a chat."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a model needs to be loaded, served and trained, in every scheme.

    No weights are read or fetched. Example: xturing estimate -m llama_lora_int4
    """
    from xturing.models.device import cpu_traits, default_device
    from xturing.models.estimating import estimates

    with render.notices():
        found = estimates(model, weights, batch_size=batch_size, max_length=max_length)
    device = default_device()
    if as_json:
        answer({"model": model, "device": device.name, "estimates": found})
        return
    render.heading(f"{model} on {device.name} ({device.reason})")
    columns = ["scheme", "weights", "load", "serve", "train LoRA", "train all"]
    render.table(columns, [_cells(one) for one in found], numbers=True)
    render.say()
    workload = found[0].workload
    render.say(
        f"Trained on {workload.tokens:,} tokens at once, served with a sequence of "
        f"{workload.length:,}; the program's own memory is included."
    )
    if device.name == "cpu" and "memory" in cpu_traits():
        render.say(f"This machine has {cpu_traits()['memory']}.")


def _cells(found: "Estimate") -> list[str]:
    """Return an estimate as a line of the table."""
    needs = (
        found.weights,
        found.load,
        found.serve,
        found.train_adapter,
        found.train_all,
    )
    return [found.scheme or "whole", *map(_gigabytes, needs)]


def _gigabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e9:,.2f} GB"
