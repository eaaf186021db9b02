"""The card of the dataset in the hub's format: README.md of a run's folder.

It is made to be published, so no key and no place of the machine is in it.
"""

import json
import re
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import yaml

from xturing.core.files import write_text
from xturing.selfinstruct.reporting.made import DATASET_FILE, Made, placeless, text
from xturing.selfinstruct.reporting.markdown import counted, escaped, table

CARD_FILE = "README.md"
SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
"""Rows below which the hub calls a dataset so."""
LARGEST = "10M<n<100M"

_SECRET = re.compile(r"(?:^|_)(?:key|password|secret|token|headers|base_url)$")


def write_card(folder: Path) -> Path:
    """Write what readers of the dataset need to know, and return the card's file.

    Raises:
        DataError: a file of the run is damaged.
    """
    made = Made(folder)
    front = yaml.safe_dump(metadata(len(made.rows)), sort_keys=False)
    parts = [
        f"# {_title(made)}",
        *_data(made),
        *_generation(made),
        *_filtering(made),
        *_caution(made),
    ]
    path = folder / CARD_FILE
    write_text(path, f"---\n{front}---\n\n" + "\n\n".join(parts) + "\n")
    return path


def metadata(rows: int) -> dict[str, object]:
    """Return what the hub reads of a card."""
    return {
        "task_categories": ["text-generation"],
        "tags": ["synthetic", "xturing"],
        "size_categories": [
            next((name for most, name in SIZES if rows < most), LARGEST)
        ],
        "configs": [{"config_name": "default", "data_files": DATASET_FILE}],
    }


def _title(made: Made) -> str:
    is_of_documents = made.summary.get("kind") == "documents"
    what = "Questions and answers from documents" if is_of_documents else "Instructions"
    return f"{what}, made by a language model"


def _data(made: Made) -> list[str]:
    different = len({example.instruction for example in made.examples})
    fields = "`instruction`, `text` (the input, empty if there is none) and `target`"
    if made.sources:
        fields += (
            ", and where the answer stands: `source`, `part`, `start` and `end`, the "
            "last two in characters of the file's text"
        )
    rows = counted(len(made.rows), "row")
    said = f"{rows} with {counted(different, 'different instruction')}"
    if made.sources:
        said += f" from {counted(len(made.sources), 'file')}"
    parts = ["## Data", f"{said}. A row has {fields}."]
    if made.summary.get("stopped"):
        parts.append("The run was ended early, so there are fewer rows than wanted.")
    return parts


def _generation(made: Made) -> list[str]:
    settings = [
        (name, _shown(value))
        for name, value in made.settings.items()
        if not _SECRET.search(name)
    ]
    rows = [
        ("model", made.engine or "not told"),
        *([("seed tasks", f"{len(made.seeds):,}")] if made.seeds else []),
        *settings,
        *((f"prompt {name}", f"SHA-256 {told}") for name, told in made.prompts.items()),
        ("made with", f"xturing-selfinstruct {version('xturing-selfinstruct')}"),
    ]
    method = "Questions and answers were asked for about one passage after the other."
    if made.summary.get("kind") != "documents":
        method = (
            "By Self-Instruct (Wang et al. 2022, arXiv 2212.10560): from seed tasks a "
            "model makes instructions, tells which are classification tasks, and "
            "carries them out."
        )
    return ["## How it was made", method, table(("", ""), rows)]


def _filtering(made: Made) -> list[str]:
    parts = ["## How it was filtered"]
    if made.threshold is not None:
        others = "an earlier question"
        if made.summary.get("kind") != "documents":
            others = "a seed task or an earlier instruction"
        parts.append(
            f"What has a ROUGE-L F1 above {made.threshold:g} with {others} was left "
            "out."
        )
    reasons = Counter(text(row, "reason") for row in made.rejected)
    if reasons:
        rows = [(reason, f"{count:,}") for reason, count in reasons.most_common()]
        parts += ["In all, there were left out:", table(("reason", "texts"), rows)]
    else:
        parts.append("Nothing was left out.")
    return parts


def _caution(made: Made) -> list[str]:
    maker = escaped(made.engine) if made.engine else "a language model"
    said = (
        f"The rows are what {maker} answered, and nobody has checked them: they may be "
        "wrong, biased, unsafe, or repeat what the model was trained on. The terms of "
        "the model and of its provider apply to its answers; some do not allow to "
        "train other models with them. So do the rights in what it was given: seed "
        "tasks and documents."
    )
    return ["## Before you use it", said]


def _shown(value: object) -> str:
    """Return a setting's value, places of this machine reduced to names."""
    if isinstance(value, str):
        return placeless(value)
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_shown(inner)}" for name, inner in value.items())
    return json.dumps(value)
