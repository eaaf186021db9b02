"""Figures of steps as pictures, the same as in reports."""

from collections.abc import Sequence

from xturing.core.papers.curves import Line, picture
from xturing.ui.jobs.progress import Point


def curves(title: str, points: Sequence[Point], figures: Sequence[str]) -> str:
    """Return a picture with a line for each figure, as SVG; empty without a point."""
    lines = [
        Line(
            name,
            tuple(
                (point.step, point.figures[name])
                for point in points
                if name in point.figures
            ),
        )
        for name in figures
    ]
    return picture(title, "step", title, lines)
