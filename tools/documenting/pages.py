"""Pages of the site, and what is told where one cannot be made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from xturing.core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page that a link can lead to."""

    anchor: str
    title: str
    level: int
    """1 for the page itself, 2 for its parts, and so on."""
    text: str = ""
    """How it begins, for the search."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page, without what stands around it."""

    path: str
    """Within the site, with slashes: packages/xturing-data/index.html."""
    title: str
    group: str
    """The part of the navigation that it stands in."""
    body: str = field(repr=False)
    """As HTML."""
    sections: Sequence[Section] = field(default=(), repr=False)

    @property
    def anchors(self) -> set[str]:
        """What links to this page may end with."""
        return {section.anchor for section in self.sections}


class Faults:
    """What is wrong with the documentation, told together at the end."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, place: str, what: str) -> None:
        """Note a fault, with words that lead to it."""
        self.found.append(f"{place}: {what}")

    def refuse(self) -> None:
        """Raise `DataError` with all faults, if there are any."""
        if self.found:
            raise DataError("\n".join(self.found))


Anchors = Callable[[str], str]
"""Makes of a heading an anchor that its page does not have yet."""


def anchors() -> Anchors:
    """Return what gives headings of one page their anchors, as GitHub spells them."""
    seen: dict[str, int] = {}

    def make(title: str) -> str:
        kept = (each for each in title.lower() if each.isalnum() or each in " -_")
        slug = "".join(kept).strip().replace(" ", "-")
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        return f"{slug}-{number}" if number else slug

    return make


def code(text: str) -> str:
    """Return text as HTML in the type of code."""
    return f"<code>{escape(text, quote=False)}</code>"


def block(text: str) -> str:
    """Return lines as HTML in the type of code."""
    return f"<pre><code>{escape(text, quote=False)}</code></pre>"
