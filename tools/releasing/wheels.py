"""A package alone: its wheel and what it requires in an environment, and nothing else.

So an import that the package does not declare fails here. The first example of a README
runs there too, for the packages that are of use alone, and the program that
`wheel_checks` has for a package, with the extras that it names.
"""

import re
from pathlib import Path

from releasing.workspace import ROOT, Member, run
from xturing.core.errors import DataError

ALONE = ("xturing-quant",)
"""Packages whose first example needs no other."""
CHECKS = ROOT / "tools" / "wheel_checks"
EXTRAS = re.compile(r"^EXTRAS = \"(.*)\"$", re.MULTILINE)
META = "xturing.cli.main"
"""What is there when a package is that only requires others."""


def build(out: Path, root: Path = ROOT) -> list[Path]:
    """Build a source distribution and a wheel of every package, and return them.

    Raises:
        CommandError: one cannot be built.
    """
    run("uv", "build", "--quiet", "--all-packages", "--out-dir", out, folder=root)
    return sorted([*out.glob("*.whl"), *out.glob("*.tar.gz")])


def check_alone(member: Member, wheels: Path, work: Path, python: Path) -> None:
    """Install a package alone, import all that it exports, and run its own check.

    Raises:
        CommandError: it cannot be installed, or does not work.
    """
    extras = extras_of(member)
    wanted = f"{member.name}[{','.join(extras)}]" if extras else member.name
    install(work, python, "--find-links", wheels, wanted)
    use(member, work)


def install(work: Path, python: Path, *wanted: str | Path) -> None:
    """Make a new environment in the folder, and install into it.

    Raises:
        CommandError: something cannot be installed.
    """
    environment = work / "environment"
    run("uv", "venv", "--quiet", "--clear", "--python", python, environment)
    inside = environment / "bin" / "python"
    run(
        *("uv", "pip", "install", "--quiet", "--no-compile-bytecode"),
        *("--python", inside, *wanted),
    )


def use(member: Member, work: Path) -> None:
    """Import all that a package exports in the folder's environment, and check it.

    Raises:
        CommandError: it does not work.
    """
    # All environments have one place after the other, so that what one has compiled
    # serves those after it. -I: neither the current folder nor the user's packages
    # help out.
    cache = f"pycache_prefix={work / 'compiled'}"
    python = work / "environment" / "bin" / "python"
    imports = (
        f"import {member.module or META} as m; names = getattr(m, '__all__', []); "
        "print([getattr(m, name) for name in names])"
    )
    run(python, "-I", "-X", cache, "-c", imports, folder=work)
    program = program_of(member)
    if program:
        run(python, "-I", "-X", cache, program, work, folder=work)
    if member.name in ALONE:
        run(python, "-I", "-X", cache, "-c", example(member), folder=work)


def quickstart(work: Path) -> None:
    """Do the quickstart in the folder's environment, with nothing of xTuring's at home.

    Raises:
        CommandError: it does not come to a better model.
    """
    home, command = work / "home", work / "environment" / "bin" / "xturing"
    run(
        *("env", "-u", "PYTHONPATH", f"XTURING_HOME={home}"),
        *(command, "quickstart", "-o", work / "quickstart"),
        folder=work,
    )


def program_of(member: Member) -> Path | None:
    """Return the program that checks a package, if there is one."""
    program = CHECKS / f"{member.name.replace('-', '_')}.py"
    return program if program.exists() else None


def extras_of(member: Member) -> list[str]:
    """Return the extras that a package's program needs."""
    program = program_of(member)
    found = EXTRAS.search(program.read_text("utf-8")) if program else None
    return found[1].split(",") if found else []


def example(member: Member) -> str:
    """Return the first Python example of a package's README.

    Raises:
        DataError: it has none.
    """
    text = (member.folder / "README.md").read_text("utf-8")
    found = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise DataError(f"The README of {member.name} has no example.")
    return found[1]
