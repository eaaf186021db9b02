"""The report of an evaluation for people, as files in a folder."""

from pathlib import Path

from xturing.core.files import write_text
from xturing.core.papers import html, markdown
from xturing.eval.reporting.content import sections
from xturing.eval.results import Evaluation

PAGE_FILE = "report.html"
TEXT_FILE = "report.md"
TITLE = "Evaluation report"


def write_papers(folder: Path, evaluation: Evaluation) -> None:
    """Write the report as a page and as Markdown.

    Raises:
        OutputError: the disk is full.
    """
    content = sections(evaluation)
    title = f"{TITLE}: {evaluation.task}"
    write_text(folder / PAGE_FILE, html.page(title, content))
    write_text(folder / TEXT_FILE, markdown.text(title, content))
