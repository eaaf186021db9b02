"""Jobs: all that was begun, with its state."""

import time
from typing import Any

import gradio as gr

from xturing.ui.page import Page
from xturing.ui.shown import errors_shown
from xturing.ui.tabs.job_panel import PERIOD, describe


class JobsTab:
    """The list of jobs, and one of them more closely."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.list = gr.Dataframe(
            headers=["job", "state", "begun", "progress"],
            label="Jobs, the newest first",
            interactive=False,
            elem_id="jobs-list",
        )
        self.chosen = gr.Dropdown(
            [], label="Job", allow_custom_value=True, elem_id="jobs-chosen"
        )
        with gr.Row():
            self.show = gr.Button("Show")
            self.stop = gr.Button("Stop")
            self.resume = gr.Button("Resume")
            self.remove = gr.Button("Remove from the list", elem_id="jobs-remove")
        self.status = gr.HTML()
        self.log = gr.Code(label="Log", language=None, max_lines=20)
        self._timer = gr.Timer(2 * PERIOD)

    def connect(self, blocks: gr.Blocks) -> None:
        """Have the components do what they are for."""
        hidden: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        self._timer.tick(self._all, None, [self.list, self.chosen], **hidden)
        blocks.load(self._all, None, [self.list, self.chosen], **hidden)
        jobs = self._page.jobs
        shown = [self.status, self.log]
        for button, do in (
            (self.show, None),
            (self.stop, jobs.stop),
            (self.resume, jobs.resume),
        ):
            button.click(self._after(do), [self.chosen], shown, **hidden)
        self.remove.click(self._remove, [self.chosen], shown, **hidden)

    def _all(self) -> list[Any]:
        jobs = self._page.jobs.all()
        rows = []
        for job in jobs:
            last = job.progress.last
            begun = time.strftime("%d %b %H:%M", time.localtime(job.began))
            told = (
                "" if last is None else f"{last.done:,} of {last.total:,} {last.text}"
            )
            rows.append([job.id, job.state, begun, told])
        return [rows, gr.Dropdown(choices=[job.id for job in jobs])]

    def _after(self, do: Any) -> Any:
        def shown(id: str | None) -> list[Any]:  # noqa: A002
            with errors_shown():
                if do is not None:
                    do(id or "")
                job = self._page.jobs.job(id or "")
                return [describe(job), self._page.jobs.log(job.id)]

        return shown

    def _remove(self, id: str | None) -> list[str]:  # noqa: A002
        with errors_shown():
            self._page.jobs.remove(id or "")
            return ["", ""]
