"""What was lost on the way from one model to another, and the gate that it has to pass.

A model that lost too much is not written: `refuse_loss` ends the command with a code of
its own.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render

if TYPE_CHECKING:
    from xturing.data import BaseDataset
    from xturing.models import BaseModel
    from xturing.quant import Fidelity
    from xturing.quant.fidelity import Row

GATE_FAILED = 3
MOST_INCREASE = 0.1
"""Nats a token: a tenth makes a text ten percent less likely with every token."""
CHECKED_ROWS = 100
WORST = 3

CheckOption = Annotated[
    Path | None,
    typer.Option(
        "--check",
        help=f"Rows to compare on, the first {CHECKED_ROWS}; a bundled text otherwise.",
    ),
]
IncreaseOption = Annotated[
    float,
    typer.Option(
        "--max-loss-increase",
        min=0,
        help="Nats a token; with a higher loss than that, nothing is written.",
    ),
]


def open_check(path: Path | None) -> "BaseDataset | None":
    """Return the rows of --check, before anything slow begins."""
    from xturing.data import open_dataset

    return open_dataset(path, limit=CHECKED_ROWS) if path is not None else None


def rows_of(model: "BaseModel", dataset: "BaseDataset | None") -> "list[Row] | None":
    """Return the rows to compare on as the model reads them; None: the bundled text."""
    from xturing.train.rows import labelled_rows

    return [*labelled_rows(model, dataset)] if dataset is not None else None


def show(found: "Fidelity", dataset: "BaseDataset | None") -> None:
    """Show how far apart the two models are."""
    where = "a bundled English text"
    if dataset is not None:
        where = f"{len(dataset)} rows of {dataset.origin}"
    line("Compared on", f"{found.positions:,} tokens of {where}")
    line("Divergence", f"{found.divergence:.4f} nats a token (KL)")
    line("Same first choice", f"{100 * found.top1_agreement:.1f} % of the tokens")
    if found.loss_increase is not None:
        line(
            "Loss",
            f"{found.loss_before:.4f} -> {found.loss_after:.4f} nats a token "
            f"({found.loss_increase:+.4f})",
        )
    if found.layers:
        _show_weights(found)


def line(title: str, text: str) -> None:
    """Show a figure after what it is called."""
    render.say(f"{title:<19}{text}")


def show_sizes(title: str, before: int, after: int) -> None:
    """Show how much smaller something became."""
    times = f"{before / after:.1f} times smaller"
    line(title, f"{before:,} -> {after:,} bytes ({times})")


def refuse_loss(lost: "list[float | None]", limit: float, advice: str) -> None:
    """End the command if too much was lost, having said how much and what can be done.

    The largest figure counts, and one that is missing or no number is too much.
    """
    known = [math.inf if each is None or math.isnan(each) else each for each in lost]
    most = max(known)
    if most <= limit:
        return
    render.complain(
        f"{most:.4f} nats a token are lost, {most - limit:.4f} more than the limit of "
        f"{limit:g}; nothing was written. {advice}"
    )
    raise typer.Exit(GATE_FAILED)


def _show_weights(found: "Fidelity") -> None:
    line("Weight error", f"{found.decibels:.1f} dB below the weights, on average")
    worst = sorted(found.layers, key=lambda layer: layer.decibels)[:WORST]
    for number, layer in enumerate(worst):
        title = "" if number else "  the worst"
        line(title, f"{layer.decibels:.1f} dB  {layer.name}")
    show_sizes("Quantized weights", found.bytes_before, found.bytes_after)
