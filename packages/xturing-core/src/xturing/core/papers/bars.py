"""Bars with intervals as SVG pictures, those of one group below one another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xturing.core.papers.drawing import (
    WIDTH,
    Scale,
    colour,
    drawing,
    shortened,
    text,
    ticks,
)
from xturing.core.papers.escaping import markup

LEFT, RIGHT = 150, 160
"""Room for names, and for the words beside bars."""
NAME_LENGTH, GROUP_LENGTH = 22, 90
HEADING, ROW, THICKNESS = 26, 20, 12
FOOT = 44
"""Room below the bars."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A number, and the interval that it lies in."""

    name: str
    """Of what the number is, such as a model: bars of one name have one colour."""
    group: str
    """Of the number, such as accuracy."""
    value: float
    low: float
    high: float
    shown: str = ""
    """The number in words; if empty, it is written with its interval."""

    @property
    def words(self) -> str:
        """What stands beside the bar."""
        if self.shown:
            return self.shown
        if not math.isfinite(self.value):
            return "not defined"
        if not self.has_interval:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"

    @property
    def has_interval(self) -> bool:
        """Whether both ends of the interval are numbers."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def picture(title: str, label: str, bars: Sequence[Bar]) -> str:
    """Return a picture of the bars as an SVG element; empty without a number."""
    drawn = [bar for bar in bars if math.isfinite(bar.value)]
    if not drawn:
        return ""
    marks = _marks(drawn)
    across = Scale(marks[0], marks[-1], LEFT, WIDTH - RIGHT)
    names = list(dict.fromkeys(bar.name for bar in bars))
    groups = list(dict.fromkeys(bar.group for bar in bars))
    foot = HEADING * len(groups) + ROW * len(bars)
    parts = [
        *(_mark(value, across, foot) for value in marks),
        text((LEFT + WIDTH - RIGHT) / 2, foot + FOOT - 8, label, "middle"),
    ]
    y = 0
    for group in groups:
        y += HEADING
        parts.append(text(0, y - 6, shortened(group, GROUP_LENGTH), "start"))
        for bar in (bar for bar in bars if bar.group == group):
            parts.append(_bar(bar, y, colour(names.index(bar.name)), across))
            y += ROW
    return drawing(title, foot + FOOT, parts)


def _marks(bars: Sequence[Bar]) -> list[float]:
    """Return round numbers around all that is drawn, and around 0."""
    ends = [end for bar in bars for end in (bar.value, bar.low, bar.high)]
    finite = [0.0, *filter(math.isfinite, ends)]
    low, high = min(finite), max(finite)
    return ticks(low, high if high > low else 1.0)


def _mark(value: float, across: Scale, foot: float) -> str:
    x = across.at(value)
    return (
        f'<path d="M{x:.1f} {HEADING}V{foot + 4}" stroke="currentColor" '
        f'stroke-opacity="0.15"/>{text(x, foot + 18, f"{value:.6g}", "middle")}'
    )


def _bar(bar: Bar, top: float, tone: str, across: Scale) -> str:
    middle, base = top + ROW / 2, across.at(0)
    ends = [base]
    shape = ""
    if math.isfinite(bar.value):
        ends.append(across.at(bar.value))
        shape = (
            f'<rect x="{min(ends):.1f}" y="{middle - THICKNESS / 2:.1f}" '
            f'width="{max(ends) - min(ends):.1f}" height="{THICKNESS}" '
            f'style="fill:{tone}"/>'
        )
        if bar.has_interval:
            whisker = across.at(bar.low), across.at(bar.high)
            ends += whisker
            shape += _whisker(*whisker, middle)
    name = text(LEFT - 8, middle + 4, shortened(bar.name, NAME_LENGTH), "end")
    words = text(max(ends) + 8, middle + 4, bar.words, "start")
    title = markup(f"{bar.name}, {bar.group}: {bar.words}")
    return f"<g><title>{title}</title>{shape}{name}{words}</g>"


def _whisker(low: float, high: float, middle: float) -> str:
    edge = f"{middle - 4:.1f}v8"
    return (
        f'<path d="M{low:.1f} {edge}M{low:.1f} {middle:.1f}H{high:.1f}'
        f'M{high:.1f} {edge}" stroke="currentColor" fill="none"/>'
    )
