"""Curves as SVG pictures."""

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

HEIGHT = 260
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 28, 40
NAMES, NAME_WIDTH, NAME_HEIGHT = 4, 140, 16
"""Names in a row of the legend, and what each takes."""
NAME_LENGTH = 20
MOST_POINTS = 400
"""Points of a line; of more, neighbours are averaged."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A named row of points."""

    name: str
    points: tuple[Point, ...]


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
    parts = [
        *(_level(y, up) for y in y_ticks),
        *(_mark(x, across) for x in x_ticks),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label, "middle"),
        text(6, 14, y_label, "start"),
    ]
    for number, (name, points) in enumerate(drawn):
        parts += [_curve(points, number, across, up), _legend(name, number)]
    rows = -(-len(drawn) // NAMES)
    return drawing(title, HEIGHT + rows * NAME_HEIGHT + 4, parts)


def _level(value: float, up: Scale) -> str:
    y = up.at(value)
    return (
        f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="currentColor" '
        f'stroke-opacity="0.15"/>{text(LEFT - 6, y + 4, f"{value:.6g}", "end")}'
    )


def _mark(value: float, across: Scale) -> str:
    x = across.at(value)
    foot = HEIGHT - BOTTOM
    return (
        f'<path d="M{x:.1f} {foot}v4" stroke="currentColor" stroke-opacity="0.5"/>'
        f"{text(x, foot + 16, f'{value:.6g}', 'middle')}"
    )


def _curve(points: Sequence[Point], number: int, across: Scale, up: Scale) -> str:
    places = [(across.at(x), up.at(y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    tone = colour(number)
    if len(places) > MOST_POINTS / 10:
        dots = ""
    else:
        dots = "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" style="fill:{tone}"/>'
            for x, y in places
        )
    return (
        f'<polyline points="{path}" fill="none" stroke-width="1.5" '
        f'style="stroke:{tone}"/>{dots}'
    )


def _legend(name: str, number: int) -> str:
    row, column = divmod(number, NAMES)
    x, y = LEFT + column * NAME_WIDTH, HEIGHT + row * NAME_HEIGHT + 4
    return (
        f'<rect x="{x}" y="{y}" width="10" height="10" style="fill:{colour(number)}"/>'
        f"{text(x + 14, y + 9, shortened(name, NAME_LENGTH), 'start')}"
    )
