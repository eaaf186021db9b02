"""`xturing quantize`: a model in fewer bits, written only if it is as good."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import fidelity, render
from xturing.cli.dry_running import checked_model, show_intent
from xturing.cli.fidelity import CheckOption, Gate, IncreaseOption
from xturing.cli.json_output import JsonOption
from xturing.cli.model_options import ModelOption, WeightsOption, open_chosen
from xturing.cli.output_options import DryRunOption, NewFolderOption, OverwriteOption
from xturing.core.errors import QuantizationError, SettingsError
from xturing.core.files import refuse_used
from xturing.models.fidelity import MOST_INCREASE

if TYPE_CHECKING:
    from xturing.data import BaseDataset
    from xturing.models import BaseModel
    from xturing.quant.calibration import Rows
    from xturing.quant.choosing import Choice

CALIBRATION_ROWS = 128


def quantize(
    model: ModelOption,
    scheme: Annotated[
        str,
        typer.Option(
            "--scheme",
            help="How weights are kept: int8, int4, nf4, fp4, int3, int2 or int1.",
        ),
    ],
    output: NewFolderOption,
    backend: Annotated[
        str,
        typer.Option("--backend", help="auto, native, bitsandbytes, torchao or gptq."),
    ] = "auto",
    group_size: Annotated[
        int | None,
        typer.Option("--group-size", min=1, help="Weights that share a scale."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            "--skip",
            metavar="NAME",
            help="What to leave out: embeddings, head, or layers' names; may be given "
            "many times.",
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option("--calibrate", help="Rows whose outputs are to change least."),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", help="Use only the first rows: of those to calibrate on."
        ),
    ] = CALIBRATION_ROWS,
    check: CheckOption = None,
    max_loss_increase: IncreaseOption = MOST_INCREASE,
    weights: WeightsOption = None,
    overwrite: OverwriteOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Quantize a model, show what that cost, and save it if it did not cost too much.

    Example: xturing quantize -m smollm2 --scheme int4 -o smollm2_int4
    """
    from xturing.data import open_dataset
    from xturing.models.fidelity import compare
    from xturing.quant.schemes import SKIP

    if not overwrite:
        refuse_used(output)
    choice = _choice(model, scheme, backend, calibrate)
    checked = fidelity.open_check(check)
    rows = open_dataset(calibrate, limit=limit) if calibrate is not None else None
    if dry_run:
        facts = {
            **checked_model(model, weights).facts,
            "scheme": scheme,
            "backend": f"{choice.backend.name}: {choice.reason}",
            "calibrated_on": "nothing" if rows is None else f"{len(rows)} rows",
            "compared_on": fidelity.compared_on(checked),
            "output": output,
        }
        show_intent(facts, as_json=as_json)
        return
    opened = _merged(open_chosen(model, weights))
    render.note(f"Quantizing to {scheme}")
    made = opened.quantize(
        scheme,
        choice.backend.name,
        group_size=group_size,
        skip=tuple(dict.fromkeys([*SKIP, *(skip or [])])),
        calibration=_calibration(opened, rows),
    )
    render.note("Comparing it with the original")
    found = compare(opened, made, fidelity.rows_of(opened, checked))
    render.heading("What quantizing did")
    fidelity.line("Scheme", scheme)
    fidelity.line("Backend", f"{choice.backend.name}: {choice.reason}")
    fidelity.show(found, checked)
    sizes = opened.engine.size_in_bytes, made.engine.size_in_bytes
    fidelity.show_sizes("The whole model", *sizes)
    told = {
        "scheme": scheme,
        "backend": choice.backend.name,
        "fidelity": fidelity.as_dict(found),
        "bytes_before": sizes[0],
        "bytes_after": sizes[1],
    }
    gate = Gate(
        lost=[found.loss_increase],
        limit=max_loss_increase,
        advice=_advice(scheme, calibrate),
    )
    fidelity.conclude(made, output, gate, told, overwrite=overwrite, as_json=as_json)


def _choice(model: str, scheme: str, backend: str, calibrate: Path | None) -> "Choice":
    """Return the backend; refuse what cannot be done before anything slow begins."""
    from xturing.models import Variant
    from xturing.models.device import default_device
    from xturing.models.packing import chosen

    choice = chosen(scheme, backend, default_device().name)
    if choice.backend.name == "gptq" and calibrate is None:
        raise SettingsError(
            "The backend 'gptq' needs rows to calibrate on; give some with --calibrate."
        )
    if not Path(model).expanduser().is_dir():
        there = Variant.parse(model).quantization
        if there is not None:
            raise QuantizationError(
                f"'{model}' has {there} weights already, and quantizing twice loses "
                f"twice. Start from '{Variant.parse(model).family.name}'."
            )
    return choice


def _merged(model: "BaseModel") -> "BaseModel":
    if not model.has_adapter:
        return model
    render.note("Merging the adapter into the weights first")
    return model.merge()


def _calibration(model: "BaseModel", rows: "BaseDataset | None") -> "Rows | None":
    from xturing.train.rows import token_rows

    if rows is None:
        return None
    render.note(f"Calibrating on {len(rows)} rows of {rows.origin}")
    return token_rows(model, rows)


def _advice(scheme: str, calibrate: Path | None) -> str:
    """Return what loses less than a scheme did."""
    from xturing.quant.schemes import SCHEMES

    better = [
        other.name
        for other in SCHEMES.values()
        if other.decibels > SCHEMES[scheme].decibels
    ]
    ways = [f"a scheme that keeps more ({', '.join(better)})"] if better else []
    if calibrate is None:
        ways.append("--calibrate with rows of your own")
    ways.append("a larger --max-loss-increase if that is acceptable")
    return f"Try {', or '.join(ways)}."
