"""Fine-tune: rows looked at, settings explained, a run followed to its report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import yaml

from xturing.core.errors import SettingsError, UnknownNameError
from xturing.core.settings import Layer
from xturing.ui.jobs.store import Job
from xturing.ui.kinds.finetune import FinetuneWish
from xturing.ui.kinds.writing import SOURCE
from xturing.ui.page import Page
from xturing.ui.plots import curves
from xturing.ui.previews import preview
from xturing.ui.shown import errors_shown
from xturing.ui.tabs.fields import decimal, optional_number, whole
from xturing.ui.tabs.job_panel import ByHand, JobPanel
from xturing.ui.tabs.rows_input import RowsInput

KIND = "finetune"
LOSSES = ("loss", "held-out loss")
RATES = ("learning rate",)
TUNED = "tuned"


@dataclass(frozen=True)
class NumberField:
    """A setting with a field of its own."""

    setting: str
    label: str
    name: str
    is_whole: bool = True

    def read(self, text: str | None) -> float | None:
        """Return what the field holds; None: nothing.

        Raises:
            SettingsError: it is no such number.
        """
        return (whole if self.is_whole else decimal)(text, self.label)


FIELDS = (
    NumberField("num_train_epochs", "Epochs", "finetune-epochs"),
    NumberField("max_steps", "Steps at most", "finetune-steps"),
    NumberField("learning_rate", "Learning rate", "finetune-rate", is_whole=False),
    NumberField("batch_size", "Batch size", "finetune-batch"),
    NumberField("max_length", "Longest row, tokens", "finetune-length"),
)


class FinetuneTab:
    """Rows in, a tuned model out."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.numbers: dict[NumberField, gr.Textbox] = {}
        with gr.Row():
            with gr.Column():
                self._build_inputs()
                self.by_hand = ByHand(KIND)
            with gr.Column():
                self._build_outputs()

    def _build_inputs(self) -> None:
        from xturing.models import families

        trainable = [f"{name}_lora" for name in families()] + list(families())
        self.model = gr.Dropdown(
            trainable,
            value="smollm2_lora",
            label="Model: a name, or a saved model's folder",
            allow_custom_value=True,
            elem_id="finetune-model",
        )
        self.weights = gr.Textbox(
            label="Weights, for generic models: a folder or a hub id", visible=True
        )
        self.rows = RowsInput("Rows to learn from", "finetune-rows", self._page.places)
        self.held_out = gr.Textbox(
            label="Rows to validate on (empty: a part of the rows is held out)"
        )
        with gr.Row():
            for field in FIELDS:
                self.numbers[field] = optional_number(
                    field.label, field.name, "default"
                )
        self.more = gr.Code(
            label="More settings, one `name: value` a line",
            language="yaml",
            lines=3,
            elem_id="finetune-more",
        )
        self.output = gr.Textbox(
            label="Folder for the result (empty: a free one)", elem_id="finetune-output"
        )
        with gr.Row():
            self.look = gr.Button("Preview", elem_id="finetune-preview")
            self.start = gr.Button("Start", variant="primary", elem_id="finetune-start")
        self.settings = gr.Dataframe(
            headers=["setting", "value", "source"],
            label="Settings, and who set them",
            interactive=False,
            max_height=260,
            elem_id="finetune-settings",
        )

    def _build_outputs(self) -> None:
        self.preview = gr.HTML(elem_id="finetune-rows-shown")
        self.panel = JobPanel(self._page, KIND)
        self.losses = gr.HTML(elem_id="finetune-losses")
        self.rates = gr.HTML(elem_id="finetune-rates")
        self.report = gr.HTML(elem_id="finetune-report")

    @property
    def _inputs(self) -> set[Any]:
        fields = (self.model, self.weights, self.held_out, self.more, self.output)
        return {*fields, *self.numbers.values(), *self.rows.inputs}

    def connect(self, blocks: gr.Blocks) -> None:
        """Have the components do what they are for."""
        private: dict[str, Any] = {"api_visibility": "private"}
        outputs = [self.preview, self.settings, *self.by_hand.outputs]
        self.look.click(self._look, self._inputs, outputs, **private)
        self.panel.begun_by(
            self.start,
            self._start,
            self._inputs,
            [self.settings, *self.by_hand.outputs],
        )
        self.panel.connect(
            blocks, [self.losses, self.rates, self.report], self._details
        )

    def _look(self, given: dict[Any, Any]) -> list[Any]:
        """Show what would be learnt of the first rows, and all settings."""
        from xturing.data import open_dataset
        from xturing.models.tokenizers import open_tokenizer

        with errors_shown():
            wish = self._wish(given)
            settings = resolved(wish)
            # As the worker does, from the folder that the app works in.
            rows = open_dataset(self._page.places.root / wish.data)
            tokenizer = open_tokenizer(self._page.places.here(wish.model), wish.weights)
            told = f"<p>{len(rows):,} rows, read as {rows.decision}</p>"
            shown = told + preview(rows, tokenizer, settings.max_length)
            return [shown, _listed(settings), *self.by_hand.texts(wish)]

    def _start(self, given: dict[Any, Any]) -> list[Any]:
        from xturing.data import open_dataset

        with errors_shown():
            wish = self._wish(given)
            settings = resolved(wish)
            # What is no data is told at once, not by a worker in half a minute.
            open_dataset(self._page.places.root / wish.data)
            id_ = self.panel.start(wish)
            return [id_, _listed(settings), *self.by_hand.texts(wish)]

    def _wish(self, given: dict[Any, Any]) -> FinetuneWish:
        places = self._page.places
        held_out = given[self.held_out]
        return FinetuneWish(
            model=places.model(given[self.model] or ""),
            weights=places.weights(given[self.weights] or ""),
            data=self.rows.needed(*(given[part] for part in self.rows.inputs)),
            eval_data=places.readable(held_out) if held_out else None,
            output=places.writable(given[self.output] or "", TUNED),
            settings=self._settings(given),
        )

    def _settings(self, given: dict[Any, Any]) -> dict[str, Any]:
        settings = _read(given[self.more])
        if "output_dir" in settings:
            raise SettingsError(
                "The result's folder has a field of its own; fill that."
            )
        if settings.get("encoding_cache") is not None:
            folder = str(settings["encoding_cache"])
            settings["encoding_cache"] = self._page.places.inside(folder)
        for field, box in self.numbers.items():
            value = field.read(given[box])
            if value is not None:
                settings[field.setting] = value
        return settings

    def _details(self, job: Job | None) -> Sequence[Any]:
        points = () if job is None else job.progress.points
        losses = curves("loss, nats a token", points, LOSSES)
        rates = curves("learning rate", points, RATES)
        return losses, rates, self.panel.report(job)


def resolved(wish: FinetuneWish) -> Any:
    """Return all settings of a run, each with its source.

    Raises:
        SettingsError: a name or a value is wrong.
    """
    from xturing.models import FinetuningConfig, Variant

    layer = Layer(source=SOURCE, values={**wish.settings, "output_dir": wish.output})
    try:
        return Variant.parse(wish.model).finetuning_config().layered(layer)
    except UnknownNameError:
        return FinetuningConfig.resolve(layer)


def _listed(settings: Any) -> list[list[str]]:
    """Return settings for a table, those that somebody has set first."""
    sources = settings.sources
    rows = [[name, str(getattr(settings, name)), sources[name]] for name in sources]
    return sorted(rows, key=lambda row: (row[2] == "default", row[2] != SOURCE))


def _read(text: str | None) -> dict[str, Any]:
    if not text or not text.strip():
        return {}
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"More settings cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(
            "Write more settings one `name: value` a line, such as `lora_rank: 16`."
        )
    return {str(name): value for name, value in values.items()}
