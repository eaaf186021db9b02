"""Data: rows that a model writes, from seed tasks or documents."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from xturing.core.errors import DataError
from xturing.ui.jobs.store import Job
from xturing.ui.kinds.selfinstruct import SelfInstructWish
from xturing.ui.page import Page
from xturing.ui.shown import errors_shown
from xturing.ui.tabs.fields import decimal, optional_number, whole
from xturing.ui.tabs.job_panel import ByHand, JobPanel, result_of
from xturing.ui.tabs.rows_input import RowsInput

KIND = "selfinstruct"
SEEDS, DOCUMENTS = "Seed tasks", "Documents"
SHOWN = 20
COUNT, REQUESTS, COST = (
    "Instructions, or questions for a passage",
    "Most requests",
    "Most US dollars",
)
KEYS = (
    "Keys of services are read from the environment (OPENAI_API_KEY, CO_API_KEY, "
    "AI21_API_KEY), never from this page. `local:smollm2` and `scripted:replies.jsonl` "
    "need none."
)


class DataTab:
    """Seeds or documents in, rows out."""

    def __init__(self, page: Page) -> None:
        self._page = page
        with gr.Row():
            with gr.Column():
                self.way = gr.Radio([SEEDS, DOCUMENTS], value=SEEDS, label="From")
                self.source = RowsInput(
                    "Seed tasks, one a line; or documents", "data-source", page.places
                )
                self.engine = gr.Textbox(
                    "local:smollm2",
                    label="Who writes: PROVIDER:MODEL",
                    info=KEYS,
                    elem_id="data-engine",
                )
                with gr.Row():
                    self.count = optional_number(COUNT, "data-count")
                    self.requests = optional_number(REQUESTS, "data-requests", "any")
                    self.cost = optional_number(COST, "data-cost", "any")
                self.output = gr.Textbox(label="Folder of the run (empty: a free one)")
                self.start = gr.Button("Start", variant="primary", elem_id="data-start")
                self.by_hand = ByHand(KIND)
            with gr.Column():
                self.panel = JobPanel(page, KIND)
                self.told = gr.Markdown(elem_id="data-told")
                self.file = gr.File(
                    label="Download", interactive=False, elem_id="data-file"
                )
                self.rows = gr.Dataframe(
                    headers=["instruction", "text", "target"],
                    label=f"The first {SHOWN} rows",
                    interactive=False,
                    wrap=True,
                )

    def connect(self, blocks: gr.Blocks) -> None:
        """Have the components do what they are for."""
        inputs = {
            *(self.way, self.engine, self.count, self.requests, self.cost, self.output),
            *self.source.inputs,
        }
        self.panel.begun_by(self.start, self._start, inputs, self.by_hand.outputs)
        outputs = [self.told, self.file, self.rows]
        self.panel.connect(blocks, outputs, self._details)

    def _start(self, given: dict[Any, Any]) -> list[Any]:
        from xturing.selfinstruct import open_client, read_seeds

        with errors_shown():
            places = self._page.places
            source = self.source.chosen(*(given[part] for part in self.source.inputs))
            if source is None:
                raise DataError("Name a file of seed tasks or documents, or upload it.")
            is_seeded = given[self.way] == SEEDS
            if is_seeded:
                read_seeds(places.root / source)
            wish = SelfInstructWish(
                engine=self._engine(given[self.engine] or ""),
                seeds=source if is_seeded else None,
                documents=None if is_seeded else source,
                count=whole(given[self.count], COUNT),
                max_requests=whole(given[self.requests], REQUESTS),
                max_cost=decimal(given[self.cost], COST),
                output=places.writable(given[self.output] or "", KIND),
            )
            if not wish.engine.startswith(("scripted:", "local:")):
                # A wrong name or a missing key is told at once.
                open_client(wish.engine)
            return [self.panel.start(wish), *self.by_hand.texts(wish)]

    def _engine(self, text: str) -> str:
        """Return who writes; files of replies and models have to be ones to be read."""
        provider, sign, name = text.strip().partition(":")
        places = self._page.places
        if provider == "scripted" and name:
            return f"{provider}:{places.readable(name)}"
        if provider == "local" and name:
            return f"{provider}:{places.model(name)}"
        if not sign or not name:
            raise DataError(
                f"{text!r} names nobody who writes; it is PROVIDER:MODEL, such as "
                "local:smollm2."
            )
        return text.strip()

    def _details(self, job: Job | None) -> Sequence[Any]:
        result = result_of(job)
        if job is None or "file" not in result:
            return "", None, []
        rejected = "".join(
            f"\n- {count:,} left out: {reason}"
            for reason, count in result["rejected"].items()
        )
        told = f"**{result['rows']:,} rows** of {result['requests']:,} requests"
        file = self._page.places.root / result["file"]
        return told + rejected, self._offered(job, file), _first(file)

    def _offered(self, job: Job, file: Path) -> str | None:
        """Return a copy of a file where browsers may have it from."""
        if not file.is_file():
            return None
        copy = self._page.places.uploads / job.id / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        return str(copy)


def _first(file: Path) -> list[list[str]]:
    from xturing.core.files import read_jsonl

    if not file.is_file():
        return []
    rows = []
    for _, row in read_jsonl(file):
        if isinstance(row, dict):
            names = ("instruction", "text", "target")
            rows.append([str(row.get(name, "")) for name in names])
        if len(rows) == SHOWN:
            break
    return rows
