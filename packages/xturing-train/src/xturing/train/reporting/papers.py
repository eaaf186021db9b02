"""The papers that lie in a tuned model's folder."""

from pathlib import Path

from xturing.core.files import write_text
from xturing.core.papers import html, markdown
from xturing.train.report import PAGE_FILE, TEXT_FILE, FinetuneReport
from xturing.train.reporting.card import MODEL_CARD_FILE, Origin, card
from xturing.train.reporting.content import sections

TITLE = "Fine-tuning report"


def write_papers(folder: Path, report: FinetuneReport, origin: Origin) -> None:
    """Write the report for people, and the model card."""
    content = sections(report)
    title = f"{TITLE}: {origin.title}"
    write_text(folder / PAGE_FILE, html.page(title, content))
    write_text(folder / TEXT_FILE, markdown.text(title, content))
    write_text(folder / MODEL_CARD_FILE, card(report, origin))
