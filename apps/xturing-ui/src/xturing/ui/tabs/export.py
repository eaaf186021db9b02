"""Quantize and export: a model made smaller, or written for other programs."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from xturing.core.settings import Settings
from xturing.models.fidelity import MOST_INCREASE
from xturing.ui.jobs.store import Job
from xturing.ui.kinds.export import ExportWish
from xturing.ui.kinds.quantize import QuantizeWish
from xturing.ui.page import Page
from xturing.ui.shown import errors_shown
from xturing.ui.tabs.job_panel import ByHand, JobPanel, result_of

SCHEMES_OF_FILES = ["", "f16", "q8_0", "f32"]


class ExportTab:
    """Two forms side by side, each with a job of its own."""

    def __init__(self, page: Page) -> None:
        from xturing.models.exporting import EXPORTERS
        from xturing.quant import SCHEMES

        with gr.Row():
            with gr.Column():
                gr.Markdown("### Quantize: fewer bits, if it stays as good")
                self.limit = gr.Number(
                    MOST_INCREASE, label="Most rise of the loss, nats a token"
                )
                self.quantize = _Form(page, "quantize", list(SCHEMES), "Scheme")
            with gr.Column():
                gr.Markdown("### Export: for other programs, held to the original")
                self.weights = gr.Dropdown(
                    SCHEMES_OF_FILES, value="", label="Weights in gguf and ollama"
                )
                self.export = _Form(page, "export", list(EXPORTERS), "Format")

    def connect(self, blocks: gr.Blocks) -> None:
        """Have the components do what they are for."""
        self.quantize.connect(blocks, self.limit, _quantize)
        self.export.connect(blocks, self.weights, _export)


def _quantize(model: str, scheme: str, output: str, limit: Any) -> Settings:
    return QuantizeWish(
        model=model,
        scheme=scheme,
        output=output,
        max_loss_increase=MOST_INCREASE if limit is None else limit,
    )


def _export(model: str, to: str, output: str, scheme: Any) -> Settings:
    return ExportWish(model=model, to=to, output=output, scheme=scheme or None)


class _Form:
    """A model, what to make of it, and where to."""

    def __init__(self, page: Page, kind: str, choices: list[str], label: str) -> None:
        self._page, self._kind = page, kind
        self.model = gr.Dropdown(
            page.names,
            value=page.model,
            label="Model: a name, or a saved model's folder",
            allow_custom_value=True,
            elem_id=f"{kind}-model",
        )
        self.choice = gr.Dropdown(
            choices, value=choices[0], label=label, elem_id=f"{kind}-choice"
        )
        self.output = gr.Textbox(
            label="Folder for the result (empty: a free one)", elem_id=f"{kind}-output"
        )
        self.start = gr.Button("Start", variant="primary", elem_id=f"{kind}-start")
        self.by_hand = ByHand(kind)
        self.panel = JobPanel(page, kind)
        self.figures = gr.Dataframe(
            headers=["", "what came of it"],
            interactive=False,
            elem_id=f"{kind}-figures",
        )

    def connect(self, blocks: gr.Blocks, more: Any, wish: Any) -> None:
        """Have the button begin what `wish` makes of the fields."""

        def start(model: str, choice: str, output: str, value: Any) -> list[Any]:
            with errors_shown():
                places = self._page.places
                name = places.model(model or "")
                stem = name.replace("/", "-")
                place = places.writable(output or "", f"{stem}-{choice}")
                wanted = wish(name, choice, place, value)
                return [self.panel.start(wanted), *self.by_hand.texts(wanted)]

        inputs = [self.model, self.choice, self.output, more]
        self.panel.begun_by(self.start, start, inputs, self.by_hand.outputs)
        self.panel.connect(blocks, [self.figures], _details)


def _details(job: Job | None) -> Sequence[Any]:
    result = result_of(job)
    if not result:
        return ([],)
    return ([["folder", result["output"]], *map(list, result["figures"].items())],)
