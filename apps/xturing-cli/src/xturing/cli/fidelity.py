"""What was lost on the way from one model to another, and the gate that it has to pass.

A model that lost too much is not written, and the command ends with a code of its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render
from xturing.cli.json_output import answer

if TYPE_CHECKING:
    from xturing.data import BaseDataset
    from xturing.models import BaseModel
    from xturing.quant import Fidelity
    from xturing.quant.fidelity import Row

GATE_FAILED = 3
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


def compared_on(dataset: "BaseDataset | None") -> str:
    """Return what two models are compared on, in words."""
    if dataset is None:
        return "a bundled English text"
    return f"{len(dataset)} rows of {dataset.origin}"


def as_dict(found: "Fidelity") -> dict[str, object]:
    """Return a comparison for a JSON document, but for its single layers."""
    names = (
        *("positions", "divergence", "top1_agreement", "loss_before", "loss_after"),
        *("loss_increase", "decibels", "bytes_before", "bytes_after"),
    )
    return {name: getattr(found, name) for name in names}


def show(found: "Fidelity", dataset: "BaseDataset | None") -> None:
    """Show how far apart the two models are."""
    line("Compared on", f"{found.positions:,} tokens of {compared_on(dataset)}")
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


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What may be lost at most, and what was."""

    lost: Sequence[float | None]
    """Nats a token; the largest figure counts, and one that is missing or no number is
    too much."""
    limit: float
    advice: str
    """What can be done if it is too much."""

    @property
    def most(self) -> float:
        """What was lost."""
        numbers = [math.inf if each is None else each for each in self.lost]
        return max(math.inf if math.isnan(each) else each for each in numbers)

    @property
    def passes(self) -> bool:
        """Whether that is little enough."""
        return self.most <= self.limit


def conclude(
    made: "BaseModel",
    output: Path,
    gate: Gate,
    told: Mapping[str, object],
    *,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Save a model if it passes the gate, and say what came of it.

    `told` is what a JSON document says beside that.
    """
    if gate.passes:
        made.save(output, overwrite=overwrite)
    if as_json:
        ended = {"lost": gate.most, "limit": gate.limit, "passed": gate.passes}
        answer({**told, **ended, "output": output if gate.passes else None})
    if not gate.passes:
        render.complain(
            f"{gate.most:.4f} nats a token are lost, {gate.most - gate.limit:.4f} more "
            f"than the limit of {gate.limit:g}; nothing was written. {gate.advice}"
        )
        raise typer.Exit(GATE_FAILED)
    if not as_json:
        render.say()
        render.say(f"Saved to {output}. Talk to it:")
        render.say(f"    xturing chat -m {output}")


def _show_weights(found: "Fidelity") -> None:
    line("Weight error", f"{found.decibels:.1f} dB below the weights, on average")
    worst = sorted(found.layers, key=lambda layer: layer.decibels)[:WORST]
    for number, layer in enumerate(worst):
        title = "" if number else "  the worst"
        line(title, f"{layer.decibels:.1f} dB  {layer.name}")
    show_sizes("Quantized weights", found.bytes_before, found.bytes_after)
