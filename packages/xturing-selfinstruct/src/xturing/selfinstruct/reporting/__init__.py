"""What is told of a run: a report to read, and a card to publish the dataset with."""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.selfinstruct.reporting.card import write_card
    from xturing.selfinstruct.reporting.report import write_report

__all__ = ["write_card", "write_report"]

__getattr__ = exports(__name__, write_card="card", write_report="report")
