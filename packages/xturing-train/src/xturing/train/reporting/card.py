"""The model card in the hub's format: README.md of a tuned model.

It is made to be published, so nothing of the machine that it was written on is in it.
"""

import re
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import yaml

from xturing.core.papers import markdown
from xturing.core.papers.blocks import Block, Paragraph, Quote, Section, Table
from xturing.models.base import BaseModel

if TYPE_CHECKING:
    from xturing.train.report import FinetuneReport

MODEL_CARD_FILE = "README.md"
SHOWN = (
    "learning_rate",
    "scheduler",
    "optimizer_name",
    "batch_size",
    "gradient_accumulation_steps",
    "max_length",
    "weight_decay",
    "max_grad_norm",
    "seed",
)
"""Settings that say how a model was trained; none of them can hold a path."""
SHOWN_OF_ADAPTERS = ("lora_rank", "lora_alpha", "lora_dropout", "lora_init")
HUB_LICENCES = {
    "Apache-2.0": "apache-2.0",
    "MIT": "mit",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
}
"""What the hub calls licences that families name."""
HUB_DATA = re.compile(r"the hub's ([\w.-]+(?:/[\w.-]+)?)(, split '[^'/\\]*')?")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a tuned model comes from, in names that are not of this machine."""

    title: str
    """What the base is called."""
    checkpoint: str | None
    """Hub id of the base; None if it is a folder of the user's."""
    licence: str | None
    data: str
    """What the rows are called."""
    data_id: str | None
    """Hub id of the rows, if they are from there."""
    is_adapter: bool


def origin(model: BaseModel, data: str) -> Origin:
    """Return where the model comes from; `data` is the origin of its dataset."""
    family = model.variant.family
    checkpoint = model.base_checkpoint
    on_hub = HUB_DATA.fullmatch(data)
    return Origin(
        title=checkpoint or f"{family.title}, from a folder",
        checkpoint=checkpoint,
        licence=family.licence if checkpoint == family.checkpoint else None,
        data=name_of(data),
        data_id=on_hub.group(1) if on_hub else None,
        is_adapter=model.has_adapter,
    )


def name_of(data: str) -> str:
    """Return a dataset's origin without folders: of several paths, the last's name."""
    if HUB_DATA.fullmatch(data):
        return data
    return re.split(r"[/\\]", data.rstrip("/\\"))[-1]


def card(report: "FinetuneReport", origin: Origin) -> str:
    """Return the model card of a run's result."""
    front = yaml.safe_dump(metadata(origin), sort_keys=False)
    sections = [
        Section("Training data", (_data(report, origin),)),
        Section("Training", (_training(report, origin),)),
        Section("Evaluation", (_evaluation(report),)),
        Section("Use", _use(origin)),
    ]
    title = f"{origin.title}, fine-tuned"
    return f"---\n{front}---\n\n{markdown.text(title, sections)}"


def metadata(origin: Origin) -> dict[str, object]:
    """Return what the hub reads of a card."""
    found: dict[str, object] = {
        "base_model": origin.checkpoint,
        "library_name": "peft" if origin.is_adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["xturing", "lora"] if origin.is_adapter else ["xturing"],
    }
    if origin.checkpoint is None:
        del found["base_model"]
    if origin.data_id is not None:
        found["datasets"] = [origin.data_id]
    if origin.licence is not None:
        licence = origin.licence.partition(";")[0]
        found["license"] = HUB_LICENCES.get(licence, "other")
        if found["license"] == "other":
            found["license_name"] = licence
    return found


def _data(report: "FinetuneReport", origin: Origin) -> Paragraph:
    ledger = report.ledger
    return Paragraph(
        f"{ledger.rows - len(ledger.dropped_rows):,} rows of {origin.data}, "
        f"{report.epochs:.2f} times each: {ledger.supervised:,} tokens to learn and "
        f"{ledger.prompt + ledger.template:,} to read in one pass."
    )


def _training(report: "FinetuneReport", origin: Origin) -> Table:
    names = SHOWN + (SHOWN_OF_ADAPTERS if origin.is_adapter else ())
    rows = [
        ("steps", f"{report.steps:,}"),
        (
            "trained parameters",
            f"{report.trainable_parameters:,} of {report.parameters:,}",
        ),
        *((name, str(report.settings[name])) for name in names),
        ("made with", f"xturing-train {version('xturing-train')}"),
    ]
    return Table(("", ""), tuple(rows))


def _evaluation(report: "FinetuneReport") -> Paragraph:
    if report.verdict is None:
        return Paragraph("No rows were held out, so the model was not evaluated.")
    return Paragraph(report.verdict.sentence)


def _use(origin: Origin) -> tuple[Block, ...]:
    kind = "AutoPeftModelForCausalLM" if origin.is_adapter else "AutoModelForCausalLM"
    library = "peft" if origin.is_adapter else "transformers"
    return (
        Paragraph("With FOLDER in place of where this card is:"),
        Quote(
            "xTuring",
            "from xturing.models import BaseModel\n\n"
            'model = BaseModel.load("FOLDER")\n'
            'print(model.generate(texts="Hello"))',
        ),
        Quote(
            f"{library}",
            f'from {library} import {kind}\n\nmodel = {kind}.from_pretrained("FOLDER")',
        ),
    )
