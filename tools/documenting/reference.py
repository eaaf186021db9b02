"""The reference of each package: its public names, by signatures and docstrings."""

import inspect
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from documenting.guides import render
from documenting.pages import Faults, Page, Section, block, code
from documenting.reading import Entry, Sources

REFERENCE = "Reference"
HEADINGS = ("Raises:", "Args:", "Returns:", "Yields:")


def reference(root: Path, faults: Faults) -> list[Page]:
    """Return a page for each module that says which of its names are public."""
    sources = Sources(root)
    return [_page(sources, module, faults) for module in sources.packages()]


def _page(sources: Sources, module: str, faults: Faults) -> Page:
    summary = sources.summary(module) or ""
    sections = [Section(anchor="", title=module, level=1, text=summary.split("\n")[0])]
    parts = [f"<h1>{escape(module)}</h1>", text(summary)]
    for name in sources.exported(module):
        entry = sources.entry(module, name)
        if entry is None:
            faults.add(module, f"'{name}' is in __all__, and defined nowhere")
            continue
        faults.found += undocumented(entry)
        parts.append(_entry(entry, name))
        start = (entry.docstring or "").split("\n")[0]
        sections.append(
            Section(anchor=name, title=f"{module}.{name}", level=2, text=start)
        )
        sections += [
            Section(anchor=f"{name}.{each.name}", title=f"{name}.{each.name}", level=3)
            for each in entry.members
        ]
    return Page(
        path=f"reference/{module}.html",
        title=module,
        group=REFERENCE,
        body="\n".join(parts),
        sections=sections,
    )


def undocumented(entry: Entry) -> Iterator[str]:
    """Yield the faults of a name that nothing explains, and of its members.

    Fields of a class may go without: their names and types are there.
    """
    if not entry.docstring:
        yield f"{entry.place}: '{entry.name}' has no docstring"
    for each in entry.members:
        if each.kind != "value":
            yield from undocumented(each)


def text(docstring: str) -> str:
    """Return a docstring as HTML: its sections become lists."""
    lines: list[str] = []
    is_listed = False
    for line in inspect.cleandoc(docstring).splitlines():
        if line.strip() in HEADINGS:
            is_listed = True
            lines += ["", line.strip(), ""]
        elif is_listed and line and not line.startswith(" "):
            is_listed = False
            lines += ["", line]
        elif is_listed and re.match(r" {4}\S", line):
            name, colon, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`: {rest}" if colon else f"- {name}")
        else:
            lines.append(line)
    return render("\n".join(lines))


def _entry(entry: Entry, name: str) -> str:
    members = "".join(_member(each, f"{name}.{each.name}") for each in entry.members)
    return (
        f'<section id="{name}"><h2>{code(name)}</h2>{block(entry.signature)}'
        f"{text(entry.docstring or '')}"
        f"{f'<dl>{members}</dl>' if members else ''}</section>"
    )


def _member(entry: Entry, anchor: str) -> str:
    return (
        f'<dt id="{anchor}"><pre><code>{escape(entry.signature, quote=False)}</code>'
        f"</pre></dt><dd>{text(entry.docstring or '')}</dd>"
    )
