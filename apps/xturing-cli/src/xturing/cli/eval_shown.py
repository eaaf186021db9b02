"""Evaluations on the terminal: progress, scores, verdicts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from xturing.cli import render
from xturing.cli.fidelity import GATE_FAILED
from xturing.cli.json_output import answer
from xturing.core.events import Event, Notice, listening

if TYPE_CHECKING:
    from xturing.eval import Evaluation


@contextmanager
def progress(model: str = "") -> Iterator[None]:
    """Show how far an evaluation is, and what its user should know."""
    from xturing.eval import Advanced, ModelOpened

    with render.bar("Evaluating") as bar:
        named = model

        def show(event: Event) -> None:
            nonlocal named
            if isinstance(event, Notice):
                render.note(event.text)
            elif isinstance(event, ModelOpened):
                named = f"{event.model} ({event.number} of {event.of})"
            elif isinstance(event, Advanced):
                bar.start(event.total)
                bar.move(event.done, f"{named}: {event.work}")

        with listening(show):
            yield


def show(found: "Evaluation", folder: Path | None, *, as_json: bool) -> None:
    """Show an evaluation, and end the command where a condition is not met."""
    if as_json:
        from xturing.eval.reporting.report_json import as_dict

        answer(as_dict(found))
    else:
        _show_scores(found)
        _show_verdicts(found)
        if folder is not None:
            render.say(f"Answers and reports are in {folder}: report.html")
    for failure in found.failures:
        render.complain(f"{failure.condition} is not met: {failure.reason}.")
    if found.failures:
        raise typer.Exit(GATE_FAILED)


def _show_scores(found: "Evaluation") -> None:
    from xturing.eval.reporting.wording import score_with_interval

    render.heading(f"{found.task}, version {found.version}: {found.rows} rows")
    first = found.results[0].scores
    rows = [
        [
            score.name,
            *(score_with_interval(result.scores[index]) for result in found.results),
        ]
        for index, score in enumerate(first)
    ]
    if all(result.forgetting is not None for result in found.results):
        general = [
            score_with_interval(result.forgetting)
            for result in found.results
            if result.forgetting is not None
        ]
        rows.append(["loss on general text", *general])
    render.table(["", *(result.model for result in found.results)], rows)


def _show_verdicts(found: "Evaluation") -> None:
    from xturing.eval.reporting.verdict import contaminated

    render.say()
    for compared in found.compared:
        render.say(compared.sentence)
    for result in found.results:
        if result.contamination is not None:
            render.note(contaminated(result.model, result.contamination, found.rows))
