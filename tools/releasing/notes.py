"""Change fragments, and the changelogs that they are folded into.

A fragment is a file `changes/PACKAGE/SLUG.KIND.md` with a sentence or two for users; so
two people who change one package never change one line.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from releasing.workspace import Member, members, write_all
from xturing.core.errors import DataError, UnknownNameError
from xturing.core.names import suggestion

KINDS = ("added", "changed", "fixed", "removed")
"""In the order in which a changelog has them."""
FRAGMENT = re.compile(r"[a-z0-9][a-z0-9-]*\.(?P<kind>[a-z]+)\.md")
UNRELEASED = "unreleased"
IGNORED = ("README.md", ".gitkeep")


@dataclass(frozen=True)
class Fragment:
    """A change that no changelog has yet."""

    file: Path
    kind: str
    text: str

    @property
    def entry(self) -> str:
        """The change as an entry of a list."""
        lines = self.text.splitlines()
        return "\n".join([f"- {lines[0]}", *(f"  {x}".rstrip() for x in lines[1:])])


def fragments(root: Path) -> dict[str, list[Fragment]]:
    """Return the fragments of each package that has some.

    Raises:
        UnknownNameError: a folder is named after no package.
        DataError: a fragment is empty, or its name is not as it should be.
    """
    known = {member.name for member in members(root)}
    found: dict[str, list[Fragment]] = {}
    for file in sorted((root / "changes").rglob("*")):
        if file.is_dir() or file.name in IGNORED:
            continue
        package = file.parent.name
        if package not in known:
            raise UnknownNameError(
                f"{file} is for '{package}', which is no package. "
                f"{suggestion(package, known)}"
            )
        found.setdefault(package, []).append(_read(file))
    return found


def fold(root: Path, date: str | None = None) -> list[Path]:
    """Move all fragments into the changelogs, and return the changelogs.

    The entries go under the package's present version; with a date, that is released
    then. Fragments are removed after the changelogs were written, and what a changelog
    has already is not written twice, so a stopped run can be run again.

    Raises:
        DataError: a fragment or a changelog is not as it should be.
        UnknownNameError: a fragment is for no package.
    """
    new = fragments(root)
    texts: dict[Path, str] = {}
    for member in members(root):
        before = _changelog(member)
        after = folded(before, member.version, new.get(member.name, []), date)
        if after != before:
            texts[member.changelog] = after
    write_all(texts)
    for each in new.values():
        for fragment in each:
            fragment.file.unlink()
    return sorted(texts)


def missing(root: Path) -> list[str]:
    """Return what the changelogs lack before a release, in sentences."""
    left = [
        f"{fragment.file} is in no changelog yet."
        for each in fragments(root).values()
        for fragment in each
    ]
    untold = [
        f"{member.changelog} tells nothing of {member.version}."
        for member in members(root)
        if _section(_changelog(member), member.version) is None
    ]
    return left + untold


def folded(
    text: str, version: str, new: list[Fragment], date: str | None = None
) -> str:
    """Return a changelog with fragments under a version, which a date releases.

    Raises:
        DataError: the changelog has that version as released already.
    """
    found = _section(text, version)
    is_released = found is not None and found["state"] != UNRELEASED
    if new and is_released:
        raise DataError(
            f"The changelog says that {version} is released, so nothing can be added "
            "to it. Bump the version first: tools/release.py bump."
        )
    if new and found is None:
        start = re.search(r"^## ", text, re.MULTILINE)
        at = start.start() if start else len(text)
        text = f"{text[:at].rstrip()}\n\n## {version} ({UNRELEASED})\n\n{text[at:]}"
        found = _section(text, version)
    if found is None or is_released:
        return text
    body = found["body"]
    for kind in KINDS:
        body = _with_entries(
            body, kind, [each.entry for each in new if each.kind == kind]
        )
    head = f"## {version} ({date or UNRELEASED})"
    parts = [text[: found.start()] + head, body.strip(), text[found.end() :]]
    return "\n\n".join(parts).rstrip() + "\n"


def _read(file: Path) -> Fragment:
    match = FRAGMENT.fullmatch(file.name)
    if match is None or match["kind"] not in KINDS:
        raise DataError(
            f"{file} is no change fragment. Call it SLUG.KIND.md, where KIND is one of "
            f"{', '.join(KINDS)}, such as faster-chat.changed.md."
        )
    text = file.read_text("utf-8").strip().removeprefix("- ")
    if not text:
        raise DataError(f"{file} is empty. Tell users in a sentence what changed.")
    return Fragment(file, match["kind"], text)


def _changelog(member: Member) -> str:
    if not member.changelog.is_file():
        raise DataError(
            f"There is no {member.changelog}. Write one that starts with "
            f"'# Changelog of {member.name}'."
        )
    return member.changelog.read_text("utf-8")


def _section(text: str, version: str) -> re.Match[str] | None:
    return re.search(
        rf"^## {re.escape(version)} \((?P<state>[^)]*)\)\n(?P<body>.*?)(?=^## |\Z)",
        text,
        re.MULTILINE | re.DOTALL,
    )


def _with_entries(body: str, kind: str, entries: list[str]) -> str:
    """Return a version's part of a changelog with entries of a kind, each once."""
    known = {part.strip() for part in re.split(r"^(?=- |#)", body, flags=re.MULTILINE)}
    lines = "\n".join(entry for entry in entries if entry not in known)
    if not lines:
        return body
    parts = re.split(r"(?=^### )", body.strip(), flags=re.MULTILINE)
    parts = [part.strip() for part in parts if part.strip()]
    title = f"### {kind.title()}"
    for number, part in enumerate(parts):
        if part.startswith(title):
            parts[number] = f"{part}\n{lines}"
            return "\n\n".join(parts)
    return "\n\n".join(sorted([*parts, f"{title}\n\n{lines}"], key=_order))


def _order(part: str) -> int:
    """Return where a part of a version stands; what is of no kind comes first."""
    starts = [part.startswith(f"### {kind.title()}") for kind in KINDS]
    return starts.index(True) if True in starts else -1
