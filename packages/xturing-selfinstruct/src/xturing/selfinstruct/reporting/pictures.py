"""Pictures of a run, equal to the byte whenever they are drawn of the same numbers.

Knows nothing of the run: it is given counts and lengths, and draws.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xturing.core.files import new_file
from xturing.selfinstruct.reporting.diversity import Diversity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERBS_SHOWN = 20
OBJECTS_SHOWN = 4
"""Of each verb. As many of both as in figure 2 of Wang et al. 2022."""
DOTS_PER_INCH = 110
INNER, MIDDLE, OUTER = 0.22, 0.56, 0.97
"""Radii of the rings."""
NARROWEST = 0.04
"""Length of a part, along its ring, that has room for a word."""
LONGEST_WORD = 14
BARS = 30
FAR = 0.8
"""Where there is no room for words on the right."""
BLUE = "#3b6ea5"
RED = "#b5453c"


def draw_verbs(diversity: Diversity, path: Path) -> None:
    """Draw the most frequent verbs in a ring, and their objects around them.

    A verb takes as much of the ring as those of its objects that are shown.
    """
    figure = _figure(8, 8)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-1, 1)
    axes.set_ylim(-1, 1)
    verbs = [verb for verb in diversity.verbs if verb.objects][:VERBS_SHOWN]
    shown = [(verb.name, verb.objects[:OBJECTS_SHOWN]) for verb in verbs]
    turn = 2 * math.pi / sum(count for _, objects in shown for _, count in objects)
    start = 0.0
    for (verb, objects), colour in zip(shown, _colours(len(shown)), strict=True):
        begin = start
        for name, count in objects:
            outer = _paler(colour)
            _part(axes, name, (start, count * turn), (MIDDLE, OUTER), outer)
            start += count * turn
        _part(axes, verb, (begin, start - begin), (INNER, MIDDLE), colour)
    _save(figure, path)


def draw_lengths(lengths: Mapping[str, Sequence[int]], path: Path) -> None:
    """Draw how many texts of each kind are how many words long.

    The longest hundredth is put into the last bar.
    """
    figure = _figure(8, 2.4 * len(lengths))
    figure.set_layout_engine("constrained")
    for at, (name, counts) in enumerate(lengths.items(), start=1):
        axes = figure.add_subplot(len(lengths), 1, at)
        most = math.ceil(float(np.percentile(counts, 99)))
        # Bars of whole words, or some would stand for more lengths than others.
        width = math.ceil((most + 1) / BARS)
        edges = np.arange(0, most + 1 + width, width)
        last = int(edges[-2])
        shown = np.minimum(counts, last)
        axes.hist(shown, bins=edges.tolist(), color=BLUE, rwidth=0.9)
        is_cut = max(counts) >= last + width
        axes.set_xlabel(f"words (the last bar: {last} and more)" if is_cut else "words")
        axes.set_ylabel("texts")
        axes.set_title(f"{name} ({len(counts):,})")
    _save(figure, path)


def draw_novelty(
    similarities: Sequence[float], threshold: float | None, path: Path
) -> None:
    """Draw how like its nearest seed each instruction is."""
    figure = _figure(8, 3.6)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    axes.hist(similarities, bins=np.linspace(0, 1, 41).tolist(), color=BLUE, rwidth=0.9)
    if threshold is not None:
        axes.axvline(threshold, color=RED, linestyle="--")
        is_far = threshold > FAR
        axes.text(
            *(
                threshold + (-0.01 if is_far else 0.01),
                0.97,
                f"{threshold:g}: the most",
            ),
            color=RED,
            horizontalalignment="right" if is_far else "left",
            verticalalignment="top",
            transform=axes.get_xaxis_transform(),
        )
    axes.set_xlim(0, 1)
    axes.set_xlabel("ROUGE-L F1 with the nearest seed task")
    axes.set_ylabel("instructions")
    _save(figure, path)


Colour = tuple[float, float, float]


def _colours(count: int) -> list[Colour]:
    """Return colours of which neighbours are told apart, the same in every run."""
    from matplotlib import colormaps

    strong = colormaps["tab20"](range(0, 20, 2))
    soft = colormaps["tab20b"](range(0, 20, 2))
    every = [(float(r), float(g), float(b)) for r, g, b, _ in (*strong, *soft)]
    return every[:count]


def _paler(colour: Colour) -> Colour:
    red, green, blue = (1 - 0.55 * (1 - value) for value in colour)
    return red, green, blue


def _part(
    axes: "Axes",
    name: str,
    span: tuple[float, float],
    ring: tuple[float, float],
    colour: Colour,
) -> None:
    """Draw a part of a ring, clockwise from the top, with a word if there is room."""
    from matplotlib.patches import Wedge

    start, extent = span
    inner, outer = ring
    first, last = (90 - math.degrees(angle) for angle in (start + extent, start))
    axes.add_patch(
        Wedge(
            *((0, 0), outer, first, last),
            width=outer - inner,
            facecolor=colour,
            edgecolor="white",
            linewidth=0.8,
        )
    )
    radius = (inner + outer) / 2
    if extent * radius < NARROWEST:
        return
    middle = math.pi / 2 - start - extent / 2
    turned = math.degrees(middle)
    axes.text(
        *(radius * math.cos(middle), radius * math.sin(middle)),
        name if len(name) <= LONGEST_WORD else f"{name[: LONGEST_WORD - 1]}…",
        fontsize=9,
        rotation=turned if math.cos(middle) >= 0 else turned - 180,
        horizontalalignment="center",
        verticalalignment="center",
    )


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure((width, height), dpi=DOTS_PER_INCH)


def _save(figure: "Figure", path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with new_file(path) as draft:
        # Otherwise the version of the library is in the file.
        metadata = {"Software": "xturing"}
        FigureCanvasAgg(figure).print_png(draft, metadata=metadata)
