"""`xturing quickstart`: the main job on a small real task, with proof.

SmolLM2 learns to turn support tickets into JSON. Held-out tickets, which it never sees
while it learns, show what it could do before and can do after.
"""

import json
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from xturing.cli import render
from xturing.cli.dry_running import checked_model, show_intent
from xturing.cli.finetune import run
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.output_options import DryRunOption, OptionalFolderOption
from xturing.core.files import free_folder, refuse_used, write_json
from xturing.core.settings import Layer

if TYPE_CHECKING:
    from xturing.data import BaseDataset
    from xturing.models import BaseModel

MODEL = "smollm2_lora"
SETTINGS: dict[str, object] = {
    "learning_rate": 1.5e-3,
    "batch_size": 6,
    "gradient_accumulation_steps": 1,
    "num_train_epochs": 1,
    "max_length": 256,
}
LONGEST_ANSWER = 80
SHOWN = 3
GATE_FAILED = 3


@dataclass(frozen=True)
class Score:
    """How a model did on the held-out tickets; shares are between 0 and 1."""

    exact_match: float
    valid_json: float
    """Answers that are a JSON object with just the fields asked for."""
    stops: float
    """Answers that the model ended by itself."""
    answers: tuple[str, ...]


def quickstart(
    output: OptionalFolderOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune the default model on a bundled task, and show what changed.

    Takes some minutes on a laptop's CPU. Example: xturing quickstart
    """
    if output is not None:
        refuse_used(output)
    folder = output or free_folder(Path("quickstart"))
    training, held_out = sample()
    if dry_run:
        rows = {"rows": len(training), "held_out_rows": len(held_out)}
        facts = {**checked_model(MODEL).facts, **rows, "settings": SETTINGS}
        show_intent({**facts, "output": folder}, as_json=as_json)
        return
    render.say(
        "SmolLM2 learns to turn support tickets into JSON: "
        f"{len(training)} tickets to learn from, {len(held_out)} to be tested on."
    )
    with render.notices():
        model = _model(folder)
    render.note("Testing the model as it is")
    base = score(model, held_out)
    report = run(model, training, held_out)
    render.note("Testing the tuned model")
    tuned = score(model, held_out)

    render.heading(f"What changed on {len(held_out)} tickets it never saw")
    rows = [
        ["exact match", _percent(base.exact_match), _percent(tuned.exact_match)],
        ["valid JSON", _percent(base.valid_json), _percent(tuned.valid_json)],
        ["stops by itself", _percent(base.stops), _percent(tuned.stops)],
        ["held-out loss", f"{report.loss_before:.4f}", f"{report.loss_after:.4f}"],
    ]
    render.table(["", "before", "after"], rows, numbers=True)
    _show_samples(held_out, base, tuned)
    scores = {
        name: {
            "exact_match": found.exact_match,
            "valid_json": found.valid_json,
            "stops": found.stops,
        }
        for name, found in (("before", base), ("after", tuned))
    }
    write_json(folder / "quickstart.json", scores)
    if as_json:
        answer({**scores, "output": folder, "report": report.page})
    render.heading(f"Saved to {folder}. Talk to it, for example with a new ticket:")
    render.say(f"    xturing chat -m {folder}")
    render.say(f"    {held_out[SHOWN]['instruction']}")
    if report.page is not None:
        render.say(f"Read what it learnt, row by row: {report.page}")
    if tuned.exact_match <= base.exact_match:
        render.complain("The tuned model is not better. Please report this.")
        raise typer.Exit(GATE_FAILED)


def sample() -> "tuple[BaseDataset, BaseDataset]":
    """Return the bundled tickets: those to learn from, and those held out."""
    from xturing.data import InstructionDataset

    with as_file(files("xturing.cli") / "sample") as folder:
        return (
            InstructionDataset(folder / "tickets.jsonl"),
            InstructionDataset(folder / "held_out.jsonl"),
        )


def score(model: "BaseModel", held_out: "BaseDataset") -> Score:
    """Return how well the model answers the held-out tickets."""
    answers = model.answers(dataset=held_out, batch_size=20)
    targets = [row["target"] for row in held_out]
    pairs = list(zip(answers, targets, strict=True))
    count = len(targets)
    return Score(
        exact_match=sum(answer.text == target for answer, target in pairs) / count,
        valid_json=sum(_is_valid(answer.text, target) for answer, target in pairs)
        / count,
        stops=sum(answer.stopped for answer in answers) / count,
        answers=tuple(answer.text for answer in answers),
    )


def _model(folder: Path) -> "BaseModel":
    from xturing.models import BaseModel, families
    from xturing.models.hub import is_here, pull

    family = families()["smollm2"]
    if not is_here(family):
        pull(family)
    model = BaseModel.create(MODEL)
    values = SETTINGS | {"output_dir": str(folder)}
    model.configure(
        finetuning=Layer(source="quickstart", values=values),
        generation=Layer(
            source="quickstart", values={"max_new_tokens": LONGEST_ANSWER}
        ),
    )
    return model


def _is_valid(answer: str, target: str) -> bool:
    try:
        fields = json.loads(answer)
    except json.JSONDecodeError:
        return False
    return isinstance(fields, dict) and fields.keys() == json.loads(target).keys()


def _show_samples(held_out: "BaseDataset", base: Score, tuned: Score) -> None:
    for index in range(SHOWN):
        render.heading(held_out[index]["instruction"])
        render.say(f"before  {' '.join(base.answers[index].split())}")
        render.say(f"after   {tuned.answers[index]}")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
