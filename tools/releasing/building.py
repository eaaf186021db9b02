"""What was built, held against the pyproject.toml files that it was built from."""

import sys
import tarfile
import zipfile
from collections.abc import Iterable
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from releasing.workspace import Member, run
from xturing.core.errors import DataError


def check_rendering(files: Iterable[Path]) -> None:
    """Have twine say whether the files can be uploaded and their READMEs be shown.

    Raises:
        CommandError: they cannot.
    """
    run(sys.executable, "-m", "twine", "check", "--strict", *files)


def check_metadata(member: Member, folder: Path) -> None:
    """Hold a package's wheel and source distribution against its pyproject.toml.

    Raises:
        DataError: one is missing, or says something else; the message has all that.
    """
    stem = f"{member.name.replace('-', '_')}-{member.version}"
    wheel = folder / f"{stem}-py3-none-any.whl"
    source = folder / f"{stem}.tar.gz"
    for file in (wheel, source):
        if not file.is_file():
            raise DataError(
                f"There is no {file}. Build it first: tools/release.py build"
            )
    wrong = [
        *(f"{wheel.name}: {each}" for each in differences(member, _of_wheel(wheel))),
        *(f"{source.name}: {each}" for each in differences(member, _of_source(source))),
        *(f"{wheel.name}: {each}" for each in _entry_points(member, wheel)),
    ]
    if wrong:
        raise DataError(
            "\n".join(
                [*wrong, f"Build {member.name} anew from what is in {member.file}."]
            )
        )


def differences(member: Member, metadata: Message) -> list[str]:
    """Return where metadata say something else than a package's pyproject.toml."""
    project = member.project
    pairs = {
        "Name": (metadata["Name"], member.name),
        "Version": (metadata["Version"], member.version),
        "Summary": (metadata["Summary"], project["description"]),
        "License-Expression": (metadata["License-Expression"], project["license"]),
        "Requires-Python": (
            SpecifierSet(metadata["Requires-Python"] or ""),
            SpecifierSet(project["requires-python"]),
        ),
        "Requires-Dist": (
            {str(Requirement(x)) for x in metadata.get_all("Requires-Dist", ())},
            _required(member),
        ),
        "Provides-Extra": (
            set(metadata.get_all("Provides-Extra", ())),
            set(project.get("optional-dependencies", {})),
        ),
        "the README": (
            str(metadata.get_payload()).strip(),
            (member.folder / project["readme"]).read_text("utf-8").strip(),
        ),
    }
    return [
        f"{field} is not that of {member.file.name}: {_shortened(built)} instead of "
        f"{_shortened(stated)}"
        for field, (built, stated) in pairs.items()
        if built != stated
    ]


def _required(member: Member) -> set[str]:
    """Return a package's requirements as metadata write them, extras in markers."""
    project = member.project
    lines = [*project.get("dependencies", ())]
    for extra, wanted in project.get("optional-dependencies", {}).items():
        for line in wanted:
            text, _, marker = line.partition(";")
            own = f"({marker.strip()}) and " if marker else ""
            lines.append(f"{text} ; {own}extra == '{extra}'")
    return {str(Requirement(line)) for line in lines}


def _entry_points(member: Member, wheel: Path) -> list[str]:
    project = member.project
    stated = {
        **project.get("entry-points", {}),
        **({"console_scripts": project["scripts"]} if "scripts" in project else {}),
    }
    parser = ConfigParser(delimiters=("=",), interpolation=None)
    # Names are kept as they are written.
    parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    parser.read_string(_in_wheel(wheel, "entry_points.txt") or "")
    built = {group: dict(parser[group]) for group in parser.sections()}
    return [] if built == stated else [f"entry points are {built} instead of {stated}"]


def _of_wheel(wheel: Path) -> Message:
    return Parser().parsestr(_in_wheel(wheel, "METADATA") or "")


def _in_wheel(wheel: Path, name: str) -> str | None:
    with zipfile.ZipFile(wheel) as packed:
        for place in packed.namelist():
            if place.endswith(f".dist-info/{name}"):
                return packed.read(place).decode("utf-8")
    return None


def _of_source(source: Path) -> Message:
    top = source.name.removesuffix(".tar.gz")
    with tarfile.open(source) as packed:
        file = packed.extractfile(f"{top}/PKG-INFO")
        text = file.read().decode("utf-8") if file else ""
    return Parser().parsestr(text)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
