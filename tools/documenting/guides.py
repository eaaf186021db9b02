"""Markdown files as pages; links between them become links between pages."""

import posixpath
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

from documenting.pages import Anchors, Faults, Page, Section, anchors

START, PACKAGES, WORK, CHANGES = "Start", "Packages", "Working on it", "Changes"
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
# Stars in docstrings are products, patterns and pointers.
PLAIN = MarkdownIt("commonmark", {"html": False}).disable(["emphasis", "html_inline"])


def sources(root: Path) -> list[Path]:
    """Return the files that become pages: every README, and what stands beside them."""
    found = [
        *(root / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        root / "changes" / "README.md",
        *sorted(root.glob("*/xturing*/README.md"), key=_by_package),
        *sorted(root.glob("*/xturing*/CHANGELOG.md"), key=_by_package),
        *sorted(root.glob("tools/*/README.md")),
    ]
    return [file for file in found if file.is_file()]


def _by_package(file: Path) -> str:
    return file.parent.name


def guides(root: Path, faults: Faults) -> list[Page]:
    """Return the pages of all Markdown files."""
    files = sources(root)
    paths = {file: page_path(root, file) for file in files}
    return [_page(root, file, paths, faults) for file in files]


def page_path(root: Path, file: Path) -> str:
    """Return where in the site a Markdown file goes: in the folder that it is in."""
    folder = file.parent.relative_to(root)
    stem = "index" if file.stem == "README" else file.stem.lower()
    return (folder / f"{stem}.html").as_posix()


def render(text: str) -> str:
    """Return a docstring or a help text as HTML."""
    return PLAIN.render(text)


def render_line(text: str) -> str:
    """Return such a text as HTML within a paragraph."""
    return PLAIN.renderInline(text)


def _page(root: Path, file: Path, paths: dict[Path, str], faults: Faults) -> Page:
    tokens = MARKDOWN.parse(file.read_text("utf-8"))
    found = _sections(tokens, anchors())
    place = file.relative_to(root).as_posix()
    if not found or found[0].level != 1:
        faults.add(place, "it does not start with a title (# …)")
        found = [Section(anchor="", title=file.parent.name, level=1), *found]
    for token in tokens:
        line = token.map[0] + 1 if token.map else 1
        for link in (each for each in token.children or () if each.type == "link_open"):
            target = str(link.attrs["href"])
            link.attrs["href"] = _led(target, file, paths, faults, f"{place}:{line}")
    body = MARKDOWN.renderer.render(tokens, MARKDOWN.options, {})
    return Page(
        path=paths[file],
        title=found[0].title,
        group=_group(root, file),
        body=body,
        sections=found,
    )


def _sections(tokens: Sequence[Token], anchor: Anchors) -> list[Section]:
    """Give the headings their anchors, and return what they head."""
    found = []
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            title = _plain(tokens[number + 1])
            token.attrs["id"] = made = anchor(title)
            texts = (each for each in tokens[number + 2 :] if each.type == "inline")
            start = next((_plain(each) for each in texts), "")
            level = int(token.tag.removeprefix("h"))
            found.append(Section(anchor=made, title=title, level=level, text=start))
    return found


def _plain(token: Token) -> str:
    kept = (each for each in token.children or () if each.type != "image")
    return "".join(" " if each.type == "softbreak" else each.content for each in kept)


def _led(
    target: str, file: Path, paths: dict[Path, str], faults: Faults, place: str
) -> str:
    """Return what a link leads to within the site."""
    split = urlsplit(target)
    if split.scheme or split.netloc:
        return target
    goal = (file.parent / split.path).resolve() if split.path else file.resolve()
    found = paths.get(goal / "README.md" if goal.is_dir() else goal)
    if found is None:
        faults.add(place, f"the link to '{target}' leads to no page")
        return target
    here = posixpath.dirname(paths[file]) or "."
    end = f"#{split.fragment}" if split.fragment else ""
    return posixpath.relpath(found, here) + end


def _group(root: Path, file: Path) -> str:
    if file.name == "CHANGELOG.md":
        return CHANGES
    top = file.relative_to(root).parts[0]
    if top in ("packages", "apps"):
        return PACKAGES
    return START if top == "README.md" else WORK
