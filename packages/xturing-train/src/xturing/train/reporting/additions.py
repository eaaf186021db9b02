"""What other parts of a run add to its report, as data.

Whoever decides something says so by `run.additions.choices.append(Choice(...))`, and
whoever has more to say by `run.additions.topics.append(Topic(...))`: each topic is a
section of its own. Both are in report.html, report.md and report.json, in the order in
which they came.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Something that was left to the run, and what it decided."""

    name: str
    """What was to be chosen: a setting, where there is one."""
    value: str
    reason: str
    """Why, with the numbers that were measured for it."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A section: sentences, then a table if it has columns."""

    title: str
    sentences: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """Cells, as many in each row as there are columns."""


@dataclass(frozen=True)
class Additions:
    """What came together in a run."""

    choices: list[Choice] = field(default_factory=list)
    topics: list[Topic] = field(default_factory=list)
