"""The site as a folder: pages with their navigation, one style sheet and a search."""

import json
import posixpath
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import unquote, urlsplit

from documenting import commands, guides, reference
from documenting.pages import Faults, Page
from xturing.core.files import new_folder

ASSETS = Path(__file__).with_name("assets")
GROUPS = (
    *(guides.START, guides.PACKAGES, commands.COMMANDS),
    *(reference.REFERENCE, guides.WORK, guides.CHANGES),
)
"""In the order of the navigation."""
HREF = re.compile(r'href="([^"]*)"')
SRC = re.compile(r'<img src="([^"]*)"')


def pages(root: Path) -> list[Page]:
    """Return all pages of a workspace.

    Raises:
        DataError: a link leads nowhere, or a public name is not explained; the message
            has every place.
    """
    from xturing.cli.main import app

    faults = Faults()
    found = [
        *guides.guides(root, faults),
        *reference.reference(root, faults),
        commands.commands(app, faults),
    ]
    check_links(found, faults)
    for picture in pictures(found):
        if not (root / picture).is_file():
            faults.add(picture, "a page shows this picture, and it is not there")
    faults.refuse()
    return found


def pictures(found: Iterable[Page]) -> list[str]:
    """Return the pictures that pages show: pages stand where their sources do."""
    shown = {
        posixpath.normpath(posixpath.join(posixpath.dirname(page.path), source))
        for page in found
        for source in SRC.findall(page.body)
    }
    return sorted(shown)


def check_links(found: Sequence[Page], faults: Faults) -> None:
    """Note each link that leads to no page, or to no part of one."""
    known = {page.path: page.anchors for page in found}
    for page in found:
        for target in HREF.findall(page.body):
            split = urlsplit(target)
            if split.scheme or split.netloc:
                continue
            inner = posixpath.join(posixpath.dirname(page.path), split.path)
            path = posixpath.normpath(inner) if split.path else page.path
            if path not in known:
                faults.add(page.path, f"the link '{target}' leads to no page")
            elif split.fragment and unquote(split.fragment) not in known[path]:
                faults.add(page.path, f"{path} has no part '{split.fragment}'")


def write_site(root: Path, folder: Path, *, overwrite: bool = False) -> list[Page]:
    """Write the site of a workspace to a folder, and return its pages.

    Raises:
        DataError: the documentation has faults; then nothing is written.
        OutputError: the folder is in use and `overwrite` is off, or the disk is full.
    """
    found = pages(root)
    with new_folder(folder, overwrite=overwrite) as draft:
        for page in found:
            place = draft / page.path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(whole(page, found), encoding="utf-8")
        for picture in pictures(found):
            (draft / picture).parent.mkdir(parents=True, exist_ok=True)
            (draft / picture).write_bytes((root / picture).read_bytes())
        for asset in sorted(ASSETS.iterdir()):
            (draft / asset.name).write_bytes(asset.read_bytes())
        entries = json.dumps(list(index(found)), ensure_ascii=False)
        (draft / "entries.js").write_text(f"const ENTRIES = {entries};\n", "utf-8")
    return found


def index(found: Iterable[Page]) -> Iterable[tuple[str, str, str]]:
    """Yield what can be searched for: title, place and first words."""
    for page in found:
        for section in page.sections:
            end = f"#{section.anchor}" if section.level > 1 else ""
            yield section.title, page.path + end, section.text


def whole(page: Page, found: Sequence[Page]) -> str:
    """Return a page with what stands around it."""
    up = "../" * page.path.count("/")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(page.title)} · xTuring</title>
<link rel="stylesheet" href="{up}style.css">
</head>
<body data-up="{up}">
<nav aria-label="Pages">
<input id="search" type="search" placeholder="Search" aria-label="Search">
<ul id="found" aria-live="polite"></ul>
{navigation(page, found, up)}
</nav>
<main>
{page.body}
</main>
<script src="{up}entries.js"></script>
<script src="{up}search.js"></script>
</body>
</html>
"""


def navigation(page: Page, found: Sequence[Page], up: str) -> str:
    """Return links to all pages, and to the parts of this one."""
    parts = []
    for group in GROUPS:
        items = "".join(
            _item(each, each is page, up) for each in found if each.group == group
        )
        parts.append(f"<h2>{escape(group)}</h2><ul>{items}</ul>")
    return "\n".join(parts)


def _item(page: Page, is_open: bool, up: str) -> str:
    mark = ' aria-current="page"' if is_open else ""
    link = f'<a href="{up}{page.path}"{mark}>{escape(page.title)}</a>'
    if not is_open:
        return f"<li>{link}</li>"
    parts = [each for each in page.sections if each.level == 2]
    inner = "".join(
        f'<li><a href="#{each.anchor}">{escape(_short(each.title, page))}</a></li>'
        for each in parts
    )
    return f"<li>{link}<ul>{inner}</ul></li>"


def _short(title: str, page: Page) -> str:
    return title.removeprefix(f"{page.title}.")
