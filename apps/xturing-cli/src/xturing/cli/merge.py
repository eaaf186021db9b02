"""`xturing merge`: an adapter worked into its base model's weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import fidelity, render
from xturing.cli.dry_running import show_intent
from xturing.cli.fidelity import CheckOption, Gate, IncreaseOption
from xturing.cli.json_output import JsonOption
from xturing.cli.model_options import OptionalModelOption, the_one
from xturing.cli.output_options import DryRunOption, NewFolderOption, OverwriteOption
from xturing.core.errors import ModelError, SettingsError
from xturing.core.files import refuse_used
from xturing.models.fidelity import MOST_INCREASE

if TYPE_CHECKING:
    from xturing.models import BaseModel
    from xturing.models.quantization import Quantization
    from xturing.quant import Fidelity

INTO_SCHEME_ADVICE = (
    "Rounding takes the adapter away again. Leave --into-scheme out and have the "
    "merged weights whole, keep the adapter beside its base, or accept it with a "
    "larger --max-loss-increase."
)
MERGE_ADVICE = (
    "Keep the adapter beside its base, or accept it with a larger --max-loss-increase."
)


def merge(
    output: NewFolderOption,
    folder: Annotated[
        str | None,
        typer.Argument(metavar="DIR", help="The folder of a tuned adapter."),
    ] = None,
    model: OptionalModelOption = None,
    into_scheme: Annotated[
        bool,
        typer.Option(
            "--into-scheme",
            help="Round the merged weights into the scheme of the base again.",
        ),
    ] = False,
    check: CheckOption = None,
    max_loss_increase: IncreaseOption = MOST_INCREASE,
    overwrite: OverwriteOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Merge an adapter into its base model's weights, if that changes nothing much.

    The gate takes the larger of the loss increase and the divergence, which is the
    increase on texts that the adapted model would write itself.
    Example: xturing merge tuned -o merged
    """
    from xturing.models import BaseModel
    from xturing.models.fidelity import compare

    path = Path(the_one(folder, model)).expanduser()
    _refuse_plain(path)
    if not overwrite:
        refuse_used(output)
    checked = fidelity.open_check(check)
    if dry_run:
        facts = {"adapter": path, "into_scheme": into_scheme}
        compared = {"compared_on": fidelity.compared_on(checked), "output": output}
        show_intent({**facts, **compared}, as_json=as_json)
        return
    with render.notices():
        adapted = BaseModel.load(path)
    was = adapted.quantization
    if into_scheme and was is None:
        raise SettingsError(
            f"--into-scheme is given, but the adapter in {path} was trained on whole "
            "weights. Leave it out, and use `xturing quantize` on the merged model."
        )
    rows = fidelity.rows_of(adapted, checked)
    render.note("Merging, and comparing the result with the adapter's model")
    made = adapted.merged()
    found = compare(adapted, made, rows)
    render.heading("What merging did")
    fidelity.show(found, checked)
    told = {"fidelity": fidelity.as_dict(found)}
    lost, advice = [found.loss_increase, found.divergence], MERGE_ADVICE
    if into_scheme and was is not None:
        whole, made = made, _requantized(made, was)
        rounded = compare(whole, made, rows)
        render.heading("What rounding the merged weights did")
        fidelity.line("Scheme", was.scheme)
        fidelity.show(rounded, checked)
        lost = [_increase(found, rounded), rounded.divergence]
        advice = INTO_SCHEME_ADVICE
        told["rounding"] = fidelity.as_dict(rounded)
    gate = Gate(lost=lost, limit=max_loss_increase, advice=advice)
    fidelity.conclude(made, output, gate, told, overwrite=overwrite, as_json=as_json)


def _refuse_plain(folder: Path) -> None:
    """Raise `ModelError` if the folder has no adapter, before it is opened."""
    from xturing.models.folders import read_folder
    from xturing.models.opening import holds_adapter

    read_folder(folder)
    if not holds_adapter(folder):
        raise ModelError(
            f"{folder} holds a whole model, so there is no adapter to merge. Name a "
            "folder that `xturing finetune` wrote for a LoRA model."
        )


def _requantized(whole: "BaseModel", was: "Quantization") -> "BaseModel":
    """Return the merged model in the scheme that the adapter was trained on."""
    render.note(f"Rounding the merged weights to {was.scheme} again")
    return whole.quantize(
        was.scheme, was.backend, group_size=was.group_size, skip=was.skip
    )


def _increase(first: "Fidelity", last: "Fidelity") -> float | None:
    """Return what the loss rose by from the first comparison to the last."""
    if first.loss_before is None or last.loss_after is None:
        return None
    return last.loss_after - first.loss_before
