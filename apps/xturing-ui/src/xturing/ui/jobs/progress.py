"""What a job tells while it works: lines of a file, and what they add up to."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

EVENTS_FILE = "events.jsonl"
RECENT = 20
"""Moves from which the time that is left is told."""

Ended = Literal["done", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Note:
    """A sentence for whoever looks on."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Moved:
    """So much of the work is done."""

    done: int
    total: int
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Point:
    """Figures of one step, for plots."""

    step: int
    figures: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class End:
    """The work is over."""

    how: Ended
    sentence: str = ""
    """What went wrong, or how to go on."""
    result: Mapping[str, Any] = field(default_factory=dict)


Mark = Note | Moved | Point | End
_KINDS = {kind.__name__: kind for kind in (Note, Moved, Point, End)}


def write_mark(folder: Path, mark: Mark) -> None:
    """Add a line to a job's events."""
    line = {"at": time.time(), "kind": type(mark).__name__, **asdict(mark)}
    with (folder / EVENTS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a job's events add up to."""

    notes: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()
    last: Moved | None = None
    seconds_left: float | None = None
    """By the pace of the last moves; None where it cannot be told."""
    end: End | None = None


def read_progress(folder: Path) -> Progress:
    """Return what has become of a job since it was last begun."""
    notes: list[str] = []
    points: dict[int, Point] = {}
    moves: list[tuple[float, Moved]] = []
    last: Moved | None = None
    end: End | None = None
    for at, mark in _marks(folder / EVENTS_FILE):
        # What follows an end is another beginning of the same work.
        end = mark if isinstance(mark, End) else None
        if isinstance(mark, Note):
            notes.append(mark.text)
        elif isinstance(mark, Point):
            known = points[mark.step].figures if mark.step in points else {}
            points[mark.step] = Point(step=mark.step, figures={**known, **mark.figures})
        elif isinstance(mark, Moved):
            moves.append((at, mark))
            last = mark
        else:
            moves.clear()
    return Progress(
        notes=tuple(notes),
        points=tuple(points[step] for step in sorted(points)),
        last=last,
        seconds_left=_left(moves),
        end=end,
    )


def _left(moves: list[tuple[float, Moved]]) -> float | None:
    """Return the seconds until all is done, by the pace of the last moves."""
    if not moves:
        return None
    now, last = moves[-1]
    same = [(at, move) for at, move in moves[-RECENT:] if move.total == last.total]
    began, first = same[0]
    done = last.done - first.done
    return (now - began) / done * (last.total - last.done) if done > 0 else None


def _marks(file: Path) -> Iterator[tuple[float, Mark]]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    # The last line may be about to be written; there, and after a loss of power, are
    # halves of lines.
    for line in text.splitlines():
        try:
            fields = json.loads(line)
            at, kind = fields.pop("at"), _KINDS[fields.pop("kind")]
            yield at, kind(**fields)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
