"""`xturing init`: a folder to begin in, with settings, rows, and what to type next."""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from textwrap import TextWrapper
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli import render
from xturing.cli.dry_running import show_intent
from xturing.cli.json_output import JsonOption, answer
from xturing.cli.model_options import MODEL_HELP, known_models
from xturing.cli.output_options import DryRunOption
from xturing.cli.quickstart import MODEL, SETTINGS
from xturing.core.files import fill_folder, refuse_used

if TYPE_CHECKING:
    from xturing.models import FinetuningConfig

ROWS, HELD_OUT_ROWS = 48, 12
LINES = TextWrapper(width=86, break_on_hyphens=False)
COMMON = {
    "How long and how much": (
        *("num_train_epochs", "max_steps", "max_time", "max_memory"),
        *("batch_size", "gradient_accumulation_steps", "max_length", "length_policy"),
    ),
    "How it learns": (
        *("learning_rate", "scheduler", "warmup_steps", "weight_decay"),
        *("max_grad_norm", "optimizer_name", "objective", "neftune_alpha"),
    ),
    "The adapter, where the model's name has lora": (
        *("lora_rank", "lora_alpha", "lora_dropout", "lora_targets"),
    ),
    "What it is held to": (
        *("validation_split", "validation_limit", "eval_steps"),
        *("early_stopping_patience",),
    ),
    "What is kept": (
        *("save_steps", "save_total_limit", "logging_steps", "trackers", "report"),
        *("report_samples", "seed"),
    ),
}
"""The settings that most runs are about, under what they decide."""

SETTINGS_HEAD = """\
# Settings of `xturing finetune --config config.yaml`.
#
# What begins with `#` is the default of {model}; take the sign away to change it.
# What each comes to: xturing config explain -m {model} --config config.yaml
# All that there is:  xturing config schema
# Settings of another file can be gone on from with a line `extends: other.yaml`.
"""
README = """\
# {name}

`rows.jsonl` has rows to learn from, one a line: support tickets and the JSON that they
are to become. Put your own in their place. `held_out.jsonl` has rows that are not
learnt, to test on. `config.yaml` has the settings.

See whether the rows are right, and what would be done:

```sh
xturing data check rows.jsonl
xturing finetune -m {model} -d rows.jsonl --config config.yaml -o tuned --dry-run
```

Fine-tune, compare with the model as it was, and talk to the result:

```sh
xturing finetune -m {model} -d rows.jsonl --config config.yaml -o tuned
xturing compare {base} tuned -d held_out.jsonl
xturing chat -m tuned
```

`tuned/report.html` shows what was learnt. A run that was interrupted goes on with
`xturing runs resume tuned`.
"""


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="A new or empty folder.")
    ] = Path(),
    model: Annotated[
        str,
        typer.Option("-m", "--model", help=MODEL_HELP, autocompletion=known_models),
    ] = MODEL,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write a folder to begin in: commented settings, sample rows, what to type next.

    Example: xturing init tickets
    """
    place = folder.expanduser().absolute()
    refuse_used(place)
    texts = project(place.name, model)
    facts = {"folder": folder, "files": [*texts]}
    if dry_run:
        show_intent(facts, as_json=as_json)
        return
    with fill_folder(place) as draft:
        for name, text in texts.items():
            (draft / name).write_text(text, encoding="utf-8")
    if as_json:
        answer(facts)
        return
    render.say(f"{', '.join(texts)} are in {folder}. Go on there with:")
    render.say(
        f"    xturing finetune -m {model} -d rows.jsonl --config config.yaml -o tuned"
    )


def project(name: str, model: str) -> dict[str, str]:
    """Return the texts of a project's files by their names.

    Raises:
        UnknownNameError: there is no such model.
    """
    from xturing.models import Variant

    variant = Variant.parse(model)
    sample = files("xturing.cli") / "sample"
    held_out = (sample / "held_out.jsonl").read_text(encoding="utf-8")
    tickets = (sample / "tickets.jsonl").read_text(encoding="utf-8")
    readme = README.format(name=name, model=model, base=variant.family.name)
    return {
        "config.yaml": settings_file(model, variant.finetuning_config()),
        "rows.jsonl": _first_lines(tickets, ROWS),
        "held_out.jsonl": _first_lines(held_out, HELD_OUT_ROWS),
        "README.md": readme,
    }


def settings_file(model: str, defaults: "FinetuningConfig") -> str:
    """Return a settings file with every common setting, its meaning and its default."""
    return "\n".join([SETTINGS_HEAD.format(model=model), *_lines(defaults)]) + "\n"


def _lines(defaults: "FinetuningConfig") -> Iterator[str]:
    known = type(defaults).model_fields
    values = defaults.model_dump(mode="json")
    for title, names in COMMON.items():
        yield f"# {title}"
        yield f"# {'-' * len(title)}"
        for name in names:
            yield ""
            meaning = " ".join((known[name].description or "").split())
            yield from (f"# {line}" for line in LINES.wrap(meaning))
            if name in SETTINGS:
                yield f"{name}: {json.dumps(SETTINGS[name])}"
            else:
                yield f"# {name}: {json.dumps(values[name])}"
        yield ""


def _first_lines(text: str, count: int) -> str:
    return "".join(text.splitlines(keepends=True)[:count])
