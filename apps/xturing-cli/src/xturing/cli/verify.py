"""`xturing verify`: proof that a model learns the same, however it is computed."""

from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render
from xturing.cli.data_options import (
    DataOption,
    MapOption,
    ShapeOption,
    SourceOption,
    SplitOption,
    reading,
)
from xturing.cli.fidelity import GATE_FAILED
from xturing.cli.finetune import check_settings
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.model_options import (
    ModelOption,
    TemplateOption,
    WeightsOption,
    open_chosen,
)
from xturing.cli.setting_options import ConfigOption, SetOption, setting_layers
from xturing.core.events import Event, listening

if TYPE_CHECKING:
    from xturing.data import BaseDataset
    from xturing.models import BaseModel
    from xturing.train import Verification


def verify(
    model: ModelOption,
    data: DataOption,
    rows: Annotated[
        int,
        typer.Option(
            "--rows", min=1, help="How many rows: to verify with, short to long."
        ),
    ] = 8,
    bound: Annotated[
        float | None,
        typer.Option(
            "--bound",
            min=0,
            help="Largest relative error that passes; 1e-4 in float32 if left out.",
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            "--skip", help="What to leave out: a check; may be given many times."
        ),
    ] = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    weights: WeightsOption = None,
    chat_template: TemplateOption = None,
    source: SourceOption = None,
    split: SplitOption = None,
    shape: ShapeOption = None,
    columns: MapOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove on your own rows that a model learns what it should.

    However rows are batched, packed and computed, loss and gradients have to agree;
    only answers may be learnt, and no token may look at what it must not see. The code
    is 3 if something fails. Example: xturing verify -m smollm2_lora -d rows.jsonl
    """
    from xturing.data import open_dataset

    layers = setting_layers(config, settings)
    check_settings(model, layers)
    dataset = open_dataset(data, **reading(source, split, shape, columns))
    opened = open_chosen(model, weights, chat_template=chat_template)
    for layer in layers:
        opened.configure(finetuning=layer)
    found = _run(opened, dataset, rows, bound, tuple(skip or ()))
    if as_json:
        answer(found.as_dict())
    else:
        _show(found, data)
    if not found.passed:
        raise typer.Exit(GATE_FAILED)


def _run(
    model: "BaseModel",
    dataset: "BaseDataset",
    rows: int,
    bound: float | None,
    skip: tuple[str, ...],
) -> "Verification":
    """Verify under a progress bar."""
    from xturing.train import Checked, verify

    with render.bar("Verifying") as bar:

        def show(event: Event) -> None:
            if isinstance(event, Checked):
                bar.start(event.of)
                bar.move(event.number, event.check.name)

        with listening(show):
            return verify(model, dataset, rows=rows, bound=bound, skip=skip)


def _show(found: "Verification", data: str) -> None:
    render.heading(
        f"{found.model} on {found.rows} rows of {data}: {found.tokens:,} tokens, "
        f"{found.learnt:,} of them learnt"
    )
    lines = [
        [
            check.name,
            check.claim,
            _error(check.loss_error),
            _error(check.gradient_error),
            check.verdict,
        ]
        for check in found.checks
    ]
    render.table(["check", "what should be so", "loss", "gradient", ""], lines)
    for check in found.checks:
        if check.verdict == "not possible":
            render.note(f"{check.name} is not possible: {check.reason}")
    render.say()
    for check in found.failed:
        error = check.largest_error
        apart = "" if error is None else f" by {error:.2g}"
        render.complain(f"{check.name} fails{apart}. {check.reason}")
    if found.passed:
        render.say(
            f"Everything agrees within {found.bound:g}: this model learns the same, "
            "however its rows are batched and computed."
        )
    else:
        render.say(
            f"{len(found.failed)} of {len(found.checks)} checks fail (the bound is "
            f"{found.bound:g}): what this model learns depends on how it is computed, "
            "or is not what the rows say. Train it only as said above."
        )


def _error(error: float | None) -> str:
    return "-" if error is None else f"{error:.1e}"
