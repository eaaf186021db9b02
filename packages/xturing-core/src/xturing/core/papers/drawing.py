"""What pictures share: scales, round numbers along them, words and colours.

A picture is an SVG element without scripts that holds nothing from elsewhere. Words and
axes have the colour of the text around them, and what is drawn has mid tones, so that
it is seen in light and dark alike.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from xturing.core.papers.escaping import markup

WIDTH = 640
TICKS = 5
COLOURS = ("#3b82c4", "#d9762b", "#4c9a52", "#9a6bc9", "#c2557f", "#7d8a94")
"""Mid tones, which stand out on white and on black."""


@dataclass(frozen=True)
class Scale:
    """A stretch of numbers, and where its ends are drawn."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return where a number is drawn."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """Return round numbers, about `count` of them, that reach from below to above.

    Their distance is 1, 2 or 5 times a power of ten.
    """
    if high <= low:
        margin = abs(low) / 2 or 1.0
        low, high = low - margin, high + margin
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def drawing(title: str, height: float, parts: Iterable[str]) -> str:
    """Return a picture of these parts, with a title for those who cannot see it."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        'role="img" font-family="system-ui, sans-serif" font-size="11" '
        f'fill="currentColor"><title>{markup(title)}</title>'
    )
    return "\n".join([head, *parts, "</svg>"])


def text(x: float, y: float, words: str, anchor: str) -> str:
    """Return words whose start, middle or end is at this point."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{markup(words)}</text>'
    )


def shortened(name: str, most: int) -> str:
    """Return the end of a name: of two long ones, mostly folders, it tells more."""
    return name if len(name) <= most else "\N{HORIZONTAL ELLIPSIS}" + name[1 - most :]


def colour(number: int) -> str:
    """Return the colour of the first thing, the second and so on."""
    return COLOURS[number % len(COLOURS)]
