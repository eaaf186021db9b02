"""Evaluating: models on the same rows, with intervals and a verdict."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from xturing.core.events import Event
from xturing.core.settings import Settings
from xturing.ui.jobs.progress import Mark, Moved, Note
from xturing.ui.kinds.writing import option


class EvaluateWish(Settings):
    """Who is asked what."""

    models: tuple[str, ...] = Field(min_length=1)
    """Names or folders; the first is the base of comparisons."""
    data: str | None = None
    """Rows, or"""
    task: str | None = None
    """a task's name or file."""
    metrics: tuple[str, ...] = ()
    """None: those that suit the rows."""
    limit: int | None = Field(default=None, gt=0)
    """Ask only the first rows."""
    output: str
    """Folder for answers and reports."""


class Evaluate:
    """Models on the same rows."""

    wish = EvaluateWish
    can_go_on = True

    def run(self, wish: EvaluateWish, *, is_resumed: bool) -> Mapping[str, Any]:
        """Evaluate, and return scores and sentences."""
        from xturing.data import open_dataset
        from xturing.eval import EvalConfig, evaluate, open_task
        from xturing.eval.reporting.wording import score_with_interval

        del is_resumed  # what is in the folder is not done again
        if wish.task is not None:
            asked: object = open_task(wish.task)
        else:
            asked = open_dataset(wish.data)
        found = evaluate(
            list(wish.models),
            asked,
            metrics=list(wish.metrics) or None,
            config=EvalConfig(limit=wish.limit),
            folder=wish.output,
        )
        return {
            "output": wish.output,
            "page": str(Path(wish.output) / "report.html"),
            "rows": found.rows,
            "scores": [
                {
                    "model": result.model,
                    "figure": score.name,
                    "value": score.value,
                    "shown": score_with_interval(score),
                }
                for result in found.results
                for score in result.scores
            ],
            "sentences": [compared.sentence for compared in found.compared],
        }

    def marks(self, event: Event) -> list[Mark]:
        """Return how far each model is."""
        from xturing.eval import Advanced, ModelOpened

        match event:
            case ModelOpened():
                text = f"Asking {event.model}, model {event.number} of {event.of}"
                return [Note(text=text)]
            case Advanced():
                return [Moved(done=event.done, total=event.total, text=event.work)]
        return []

    def command(self, wish: EvaluateWish) -> list[str]:
        """Return the command that does the same."""
        return [
            *("xturing", "eval"),
            *(part for model in wish.models for part in ("-m", model)),
            *option("-d", wish.data),
            *option("--task", wish.task),
            *option("--metrics", ",".join(wish.metrics)),
            *option("--limit", wish.limit),
            *option("-o", wish.output),
        ]

    def snippet(self, wish: EvaluateWish) -> str:
        """Return the Python that does the same."""
        asked = f"open_dataset({wish.data!r})"
        source = "from xturing.data import open_dataset"
        names = "EvalConfig, evaluate"
        if wish.task is not None:
            asked, source = f"open_task({wish.task!r})", ""
            names = f"{names}, open_task"
        lines = (
            source,
            f"from xturing.eval import {names}",
            "",
            "found = evaluate(",
            f"    {list(wish.models)!r},",
            f"    {asked},",
            f"    metrics={list(wish.metrics) or None!r},",
            f"    config=EvalConfig(limit={wish.limit!r}),",
            f"    folder={wish.output!r},",
            ")",
            "for compared in found.compared:",
            "    print(compared.sentence)",
        )
        return "\n".join(lines).lstrip()


KIND = Evaluate()
