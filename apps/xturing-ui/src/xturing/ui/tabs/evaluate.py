"""Evaluate: models on the same rows, with intervals, a verdict and the report."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from xturing.core.errors import DataError
from xturing.ui.jobs.store import Job
from xturing.ui.kinds.evaluate import EvaluateWish
from xturing.ui.page import Page
from xturing.ui.shown import errors_shown
from xturing.ui.tabs.fields import optional_number, whole
from xturing.ui.tabs.job_panel import ByHand, JobPanel, result_of
from xturing.ui.tabs.rows_input import RowsInput

KIND = "evaluate"
SCORES = "scores"
LIMIT = "Only the first rows"


class EvaluateTab:
    """Scores of one model, or two compared."""

    def __init__(self, page: Page) -> None:
        from xturing.eval import METRICS, bundled_tasks

        self._page = page
        with gr.Row():
            with gr.Column():
                self.model = _model(page, "Model", page.model, "evaluate-model")
                self.base = _model(page, "Compared with: a base", "", "evaluate-base")
                self.rows = RowsInput("Rows to ask", "evaluate-rows", page.places)
                self.task = gr.Dropdown(
                    ["", *(task.name for task in bundled_tasks())],
                    value="",
                    label="or a task",
                )
                self.metrics = gr.Dropdown(
                    list(METRICS),
                    multiselect=True,
                    label="Metrics (none: those that suit the rows)",
                    elem_id="evaluate-metrics",
                )
                self.limit = optional_number(LIMIT, "evaluate-limit", "all of them")
                self.output = gr.Textbox(
                    label="Folder for the result (empty: a free one)",
                    elem_id="evaluate-output",
                )
                self.start = gr.Button(
                    "Start", variant="primary", elem_id="evaluate-start"
                )
                self.by_hand = ByHand(KIND)
            with gr.Column():
                self.panel = JobPanel(page, KIND)
                self.verdict = gr.Markdown(elem_id="evaluate-verdict")
                self.scores = gr.Dataframe(
                    headers=["model", "figure", "value"],
                    label="Scores, with 95 % intervals",
                    interactive=False,
                    elem_id="evaluate-scores",
                )
        self.report = gr.HTML(elem_id="evaluate-report")

    def connect(self, blocks: gr.Blocks) -> None:
        """Have the components do what they are for."""
        inputs = {
            *(self.model, self.base, self.task, self.metrics, self.limit, self.output),
            *self.rows.inputs,
        }
        self.panel.begun_by(self.start, self._start, inputs, self.by_hand.outputs)
        outputs = [self.verdict, self.scores, self.report]
        self.panel.connect(blocks, outputs, self._details)

    def _start(self, given: dict[Any, Any]) -> list[Any]:
        from xturing.data import open_dataset

        with errors_shown():
            places, task = self._page.places, given[self.task] or None
            data = self.rows.chosen(*(given[part] for part in self.rows.inputs))
            if (data is None) == (task is None):
                raise DataError("Name either rows or a task, and not both.")
            if data is not None:
                open_dataset(places.root / data)
            named = [given[self.base], given[self.model]]
            wish = EvaluateWish(
                models=tuple(places.model(name) for name in named if name),
                data=data,
                task=task,
                metrics=tuple(given[self.metrics] or ()),
                limit=whole(given[self.limit], LIMIT),
                output=places.writable(given[self.output] or "", SCORES),
            )
            return [self.panel.start(wish), *self.by_hand.texts(wish)]

    def _details(self, job: Job | None) -> Sequence[Any]:
        result = result_of(job)
        scores = result.get("scores", ())
        shown = [[each["model"], each["figure"], each["shown"]] for each in scores]
        verdict = "\n\n".join(result.get("sentences", ()))
        return verdict, shown, self.panel.report(job)


def _model(page: Page, label: str, value: str, name: str) -> gr.Dropdown:
    return gr.Dropdown(
        ["", *page.names],
        value=value,
        label=label,
        allow_custom_value=True,
        elem_id=name,
    )
