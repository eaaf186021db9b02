"""Everything that a release takes, a verb a step.

    uv run python tools/release.py bump xturing-data minor
    uv run python tools/release.py notes --date 2027-01-31
    uv run python tools/release.py all

`bump` and `notes` change files of the project, the others leave it as it is. `all` does
these others in order: notes (as a check), lock, build, check, lowest, sbom, walk.
Nothing is uploaded. After a bump, `uv lock` brings uv.lock up to date.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from releasing import building, inventory, lowest, notes, pythons, versions, wheels
from releasing.workspace import ROOT, CommandError, chosen, members, run

from xturing.core.errors import XTuringError

DIST = Path("dist")


def bump(given: argparse.Namespace) -> bool:
    """Give packages their next version."""
    names = [] if given.package == "all" else [given.package]
    changes = versions.bump(ROOT, names, given.to)
    for change in changes:
        print(f"{change.package}: {change.before} -> {change.after}")
    others = {each.package for each in changes} - {*names} if names else ()
    if others:
        print(
            f"With a new range, and in need of a version: {', '.join(sorted(others))}"
        )
    print("Run `uv lock`, so that the lock file has these versions too.")
    return True


def fold_notes(given: argparse.Namespace) -> bool:
    """Fold the change fragments into the changelogs, or say what they lack."""
    if given.check:
        return report("the changelogs", notes.missing(ROOT))
    for file in notes.fold(ROOT, given.date):
        print(f"{file.relative_to(ROOT)} has what changed")
    return True


def build(given: argparse.Namespace) -> bool:
    """Build all packages, and hold what was built against what it was built from."""
    files = wheels.build(given.dist)
    building.check_rendering(files)
    for member in members():
        building.check_metadata(member, given.dist)
        print(f"{member.name} {member.version}: built as its pyproject.toml says")
    return True


def check(given: argparse.Namespace) -> bool:
    """Install each package alone on each Python, and use it."""
    failed, here = [], pythons.pythons(given.pythons)
    dist = built(given)
    for version, python in here.items():
        with tempfile.TemporaryDirectory() as folder:
            for member in chosen(ROOT, given.packages):
                name = f"{member.name} on Python {version}"
                try:
                    wheels.check_alone(member, dist, Path(folder), python)
                except CommandError as error:
                    failed.append(f"{name}: {error}")
                else:
                    print(f"{name}: works alone", flush=True)
            if given.quickstart:
                wheels.install(Path(folder), python, "--find-links", dist, "xturing")
                wheels.quickstart(Path(folder))
                print(f"the quickstart works on Python {version}", flush=True)
    return report("packages alone", failed)


def lock(given: argparse.Namespace) -> bool:
    """See that uv.lock is what the pyproject.toml files lead to."""
    run("uv", "lock", "--check", folder=ROOT)
    print("uv.lock is up to date")
    return True


def check_lowest(given: argparse.Namespace) -> bool:
    """Resolve each package to the oldest that it admits, and tell which bounds fail."""
    found: list[str] = []
    dist = built(given)
    (python,) = pythons.pythons([given.python]).values()
    for member in chosen(ROOT, given.packages):
        found += map(str, lowest.findings(member, dist, python))
        if given.install:
            try:
                with tempfile.TemporaryDirectory() as folder:
                    lowest.check_lowest(member, dist, Path(folder), python)
            except CommandError as error:
                found.append(f"{member.name} with the oldest that it admits: {error}")
        print(f"{member.name}: lower bounds tried", flush=True)
    return report("lower bounds", found)


def write_sbom(given: argparse.Namespace) -> bool:
    """Write the bill of materials and the licences beside what was built."""
    unknown = inventory.write_inventory(ROOT / "uv.lock", given.dist)
    print(
        f"{given.dist / inventory.BILL} and {given.dist / inventory.LICENCES} written"
    )
    if unknown:
        names = ", ".join(f"{each.name} {each.version}" for each in unknown)
        print(f"Of unknown licence, or not installed here: {names}")
    return True


def walk(given: argparse.Namespace) -> bool:
    """Type what the README says in a fresh clone, as a newcomer does."""
    del given
    run(sys.executable, ROOT / "tools" / "walk_readme.py", folder=ROOT)
    print("the README says what a newcomer needs")
    return True


def everything(given: argparse.Namespace) -> bool:
    """Do all that leaves the project as it is, and go on after what fails."""
    given.check = given.install = given.quickstart = True
    steps = fold_notes, lock, build, check, check_lowest, write_sbom, walk
    went_well = [attempt(step, given) for step in steps]
    return all(went_well)


def attempt(
    step: Callable[[argparse.Namespace], bool], given: argparse.Namespace
) -> bool:
    """Do a step, and return whether it went well."""
    try:
        return step(given)
    except XTuringError as error:
        print(error, file=sys.stderr)
        return False


def report(what: str, wrong: Sequence[str]) -> bool:
    """Say what is wrong, if anything is, and return whether nothing is."""
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{what}: {f'{len(wrong)} wrong' if wrong else 'fine'}")
    return not wrong


def built(given: argparse.Namespace) -> Path:
    """Build all packages as they are now, and return the folder."""
    wheels.build(given.dist)
    return given.dist.absolute()


def parser() -> argparse.ArgumentParser:
    """Return what reads the arguments."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--dist", type=Path, default=DIST, help="folder of what is built")
    verbs = made.add_subparsers(required=True, metavar="VERB")

    def verb(
        name: str, does: Callable[[argparse.Namespace], bool]
    ) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=does.__doc__)
        added.set_defaults(does=does)
        return added

    bumped = verb("bump", bump)
    bumped.add_argument("package", help="its name, or all")
    bumped.add_argument("to", help="major, minor, patch or a version")
    noted = verb("notes", fold_notes)
    noted.add_argument("--date", help="the day of the release, such as 2027-01-31")
    noted.add_argument("--check", action="store_true", help="change nothing")
    verb("build", build)
    verb("lock", lock)
    verb("sbom", write_sbom)
    verb("walk", walk)
    for name, does in (("check", check), ("lowest", check_lowest), ("all", everything)):
        added = verb(name, does)
        added.add_argument("--packages", nargs="+", default=[], metavar="NAME")
        added.add_argument("--pythons", nargs="+", default=[*pythons.VERSIONS])
        added.add_argument("--python", default=pythons.VERSIONS[0], help="for `lowest`")
        added.add_argument(
            "--quickstart", action="store_true", help="`check`: do the quickstart too"
        )
        added.add_argument(
            "--install", action="store_true", help="`lowest`: import too"
        )
    return made


def main() -> None:
    """Read the arguments, and do what they say."""
    given = parser().parse_args()
    if not attempt(given.does, given):
        sys.exit(1)


if __name__ == "__main__":
    main()
