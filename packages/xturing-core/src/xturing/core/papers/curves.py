"""Curves as SVG pictures: no scripts, nothing from elsewhere, light and dark alike.

Words and axes have the colour of the text around them, and lines have mid tones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xturing.core.papers.escaping import markup

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 28, 40
TICKS = 5
MOST_POINTS = 400
"""Points of a line; of more, neighbours are averaged."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A named row of points."""

    name: str
    points: tuple[Point, ...]


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


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """Return at most so many points: the means of neighbours, finite ones alone."""
    finite = [point for point in points if all(map(math.isfinite, point))]
    size = -(-len(finite) // most)
    if size <= 1:
        return finite
    groups = [finite[start : start + size] for start in range(0, len(finite), size)]
    return [
        (sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group))
        for group in groups
    ]


def picture(title: str, x_label: str, y_label: str, lines: Sequence[Line]) -> str:
    """Return a picture of the lines as an SVG element; empty without a point."""
    drawn = [(line.name, thinned(line.points)) for line in lines]
    drawn = [(name, points) for name, points in drawn if points]
    if not drawn:
        return ""
    every = [point for _, points in drawn for point in points]
    x_ticks = ticks(min(x for x, _ in every), max(x for x, _ in every))
    y_ticks = ticks(min(y for _, y in every), max(y for _, y in every))
    across = Scale(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT)
    up = Scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'role="img" font-family="system-ui, sans-serif" font-size="11" '
        f'fill="currentColor"><title>{markup(title)}</title>'
    )
    parts = [
        head,
        *(_level(y, up) for y in y_ticks),
        *(_mark(x, across) for x in x_ticks),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label, "middle"),
        _text(6, 14, y_label, "start"),
    ]
    for number, (name, points) in enumerate(drawn):
        parts += [_curve(points, number, across, up), _legend(name, number)]
    return "\n".join([*parts, "</svg>"])


def _level(value: float, up: Scale) -> str:
    y = up.at(value)
    return (
        f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="currentColor" '
        f'stroke-opacity="0.15"/>{_text(LEFT - 6, y + 4, f"{value:.6g}", "end")}'
    )


def _mark(value: float, across: Scale) -> str:
    x = across.at(value)
    foot = HEIGHT - BOTTOM
    return (
        f'<path d="M{x:.1f} {foot}v4" stroke="currentColor" stroke-opacity="0.5"/>'
        f"{_text(x, foot + 16, f'{value:.6g}', 'middle')}"
    )


def _curve(points: Sequence[Point], number: int, across: Scale, up: Scale) -> str:
    places = [(across.at(x), up.at(y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    colour = _colour(number)
    if len(places) > MOST_POINTS / 10:
        dots = ""
    else:
        dots = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" style="fill:{colour}"/>'
            for x, y in places
        )
    return (
        f'<polyline points="{path}" fill="none" stroke-width="1.5" '
        f'style="stroke:{colour}"/>{dots}'
    )


def _legend(name: str, number: int) -> str:
    x = WIDTH - RIGHT - 110 * (number + 1)
    return (
        f'<rect x="{x}" y="6" width="10" height="10" style="fill:{_colour(number)}"/>'
        f"{_text(x + 14, 15, name, 'start')}"
    )


def _colour(number: int) -> str:
    # Mid tones, which stand out on white and on black.
    return ("#3b82c4", "#d9762b", "#4c9a52")[number % 3]


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{markup(words)}</text>'
    )
