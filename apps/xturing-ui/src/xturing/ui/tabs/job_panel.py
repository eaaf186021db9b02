"""What a page shows of a job: how far it is, and buttons to stop it and to go on.

It looks once a second, whatever window, reload or app has begun the job.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from xturing.core.papers.html import framed
from xturing.core.quantities import shown_duration
from xturing.core.settings import Settings
from xturing.ui.jobs.store import Job
from xturing.ui.kinds import KINDS
from xturing.ui.page import Page
from xturing.ui.shown import errors_shown

PERIOD = 1.0
NOTES = 6
COLOURS = {
    "running": "#3b82f6",
    "done": "#16a34a",
    "stopped": "#f59e0b",
    "failed": "#ef4444",
    "lost": "#ef4444",
}
STYLE = """
.job .bar { height: 10px; border-radius: 5px; background: #8883; overflow: hidden; }
.job .bar div { height: 100%; border-radius: 5px; }
svg { max-width: 100%; }
.job .state { font-weight: 700; }
.job ul { margin: .4em 0 0 1.2em; font-size: .9em; opacity: .8; }
"""

Details = Callable[[Job | None], Sequence[Any]]
"""What else of a tab shows a job: a value for each of its components."""


class JobPanel:
    """A job of one kind in a window. Each window has its own."""

    def __init__(self, page: Page, kind: str) -> None:
        self._page = page
        self._kind = kind
        self._details: Details = lambda _: ()
        self._outputs: Sequence[Any] = ()
        self.id = gr.State(None)
        self._seen = gr.State(None)
        self.status = gr.HTML(describe(None), elem_id=f"{kind}-status")
        with gr.Row():
            self.stop = gr.Button("Stop", interactive=False, elem_id=f"{kind}-stop")
            self.resume = gr.Button(
                "Resume", interactive=False, elem_id=f"{kind}-resume"
            )
        with gr.Accordion("Log", open=False):
            self.log = gr.Code(
                label="What the process wrote", lines=5, max_lines=20, language=None
            )
        self._timer = gr.Timer(PERIOD)

    def connect(
        self,
        blocks: gr.Blocks,
        outputs: Sequence[Any] = (),
        details: Details | None = None,
    ) -> None:
        """Have the page follow the job from here on, and show more of it."""
        self._details = details or self._details
        self._outputs = outputs
        shown = [self.status, self.stop, self.resume, self.log, *outputs]
        hidden: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        self._timer.tick(
            self._look, [self.id, self._seen], [self._seen, *shown], **hidden
        )
        self.stop.click(self._stop, [self.id], None, **hidden)
        self.resume.click(self._resume, [self.id], [self.id], **hidden)
        blocks.load(self._newest, None, [self.id], **hidden)

    def begun_by(
        self,
        button: gr.Button,
        start: Callable[..., list[Any]],
        inputs: Any,
        outputs: Sequence[Any],
    ) -> None:
        """Have a button begin a job: `start` returns its id, and values of outputs."""
        button.click(start, inputs, [self.id, *outputs], api_visibility="private")

    def report(self, job: Job | None) -> str:
        """Return the page that a job has written, framed; empty if there is none."""
        page = result_of(job).get("page")
        file = None if page is None else self._page.places.root / page
        if file is None or not file.is_file():
            return ""
        return framed(file.read_text(encoding="utf-8"))

    def start(self, wish: Settings) -> str:
        """Begin a job, and return its id."""
        return self._page.jobs.start(self._kind, wish).id

    def _newest(self) -> str | None:
        job = self._page.jobs.newest(self._kind)
        return None if job is None else job.id

    def _look(self, id: str | None, seen: Any) -> list[Any]:  # noqa: A002
        job = self._job(id)
        now = None if job is None else (job.id, job.state, job.progress)
        if now == seen:
            return [gr.skip()] * (5 + len(self._outputs))
        is_running = job is not None and job.state == "running"
        can_go_on = job is not None and job.can_go_on
        return [
            now,
            describe(job),
            gr.Button(interactive=is_running),
            gr.Button(interactive=can_go_on),
            "" if job is None else self._page.jobs.log(job.id),
            *self._details(job),
        ]

    def _job(self, id: str | None) -> Job | None:  # noqa: A002
        from xturing.core.errors import XTuringError

        if id is None:
            return None
        try:
            return self._page.jobs.job(id)
        except XTuringError:
            # Another window has removed it.
            return None

    def _stop(self, id: str) -> None:  # noqa: A002
        with errors_shown():
            self._page.jobs.stop(id)
            gr.Info("Stopping; what there is to save is saved first.")

    def _resume(self, id: str) -> str:  # noqa: A002
        with errors_shown():
            return self._page.jobs.resume(id).id


def result_of(job: Job | None) -> Mapping[str, Any]:
    """Return what came of a job; nothing if it has not come to its end."""
    end = None if job is None else job.progress.end
    return {} if end is None else end.result


def describe(job: Job | None) -> str:
    """Return how far a job is, as HTML."""
    if job is None:
        return '<div class="job">Nothing has been started yet.</div>'
    progress, colour = job.progress, COLOURS[job.state]
    last, share, told = progress.last, 0.0, ""
    if last is not None and last.total:
        share = last.done / last.total
        told = f"{last.done:,} of {last.total:,} · {escape(last.text)}"
    if job.state == "done":
        share = 1.0
    if job.state == "running" and progress.seconds_left is not None:
        told += f" · {shown_duration(progress.seconds_left)} left"
    why = escape(progress.end.sentence) if progress.end is not None else ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in progress.notes[-NOTES:])
    return (
        f'<div class="job"><span class="state" style="color: {colour}">{job.state}'
        f"</span> · {escape(job.id)} · {told}<div>{why}</div>"
        f'<div class="bar"><div style="width: {share:.1%}; background: {colour}">'
        f"</div></div><ul>{notes}</ul></div>"
    )


class ByHand:
    """The command and the Python that do the same as the button."""

    def __init__(self, kind: str) -> None:
        self._kind = KINDS[kind]
        with gr.Accordion("The same by hand", open=False, elem_id=f"{kind}-by-hand"):
            self.command = gr.Code(
                label="Command", language="shell", elem_id=f"{kind}-command"
            )
            self.snippet = gr.Code(label="Python", language="python")

    @property
    def outputs(self) -> list[Any]:
        """The components that `texts` has values for."""
        return [self.command, self.snippet]

    def texts(self, wish: Settings) -> list[str]:
        """Return the command and the Python."""
        import shlex

        return [shlex.join(self._kind.command(wish)), self._kind.snippet(wish)]
