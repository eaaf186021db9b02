"""Build every package, and import each in an environment of its wheel alone.

    uv run python tools/check_wheels.py

The environment holds the wheel and what it requires, nothing else; so an import that
the package does not declare fails here. The first example of a README runs there too,
for the packages that are of use alone, and the program that `wheel_checks` has for a
package, with the extras that it names.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALONE = ("xturing-quant",)
"""Packages whose first example needs no other."""
CHECKS = Path(__file__).with_name("wheel_checks")
EXTRAS = re.compile(r"^EXTRAS = \"(.*)\"$", re.MULTILINE)


def members() -> dict[str, str]:
    """Return the module that each package of the workspace brings."""
    found = {}
    for file in sorted(ROOT.glob("*/xturing*/pyproject.toml")):
        project = tomllib.loads(file.read_text(encoding="utf-8"))
        module = project["tool"]["uv"]["build-backend"]["module-name"]
        found[project["project"]["name"]] = module or "xturing.cli.main"
    return found


def run(*command: str | Path) -> None:
    """Run a command, and end with its output if it fails."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def check(package: str, module: str, wheels: Path, work: Path) -> None:
    """Install a package alone and import all that its module exports."""
    # All environments have one place after the other, so that what one has compiled
    # serves those after it.
    environment = work / "environment"
    python = environment / "bin" / "python"
    isolated = (python, "-I", "-X", f"pycache_prefix={work / 'compiled'}")
    program = CHECKS / f"{package.replace('-', '_')}.py"
    extras = (
        EXTRAS.search(program.read_text(encoding="utf-8")) if program.exists() else None
    )
    wanted = f"{package}[{extras[1]}]" if extras else package
    run("uv", "venv", "--quiet", "--clear", "--python", sys.executable, environment)
    run(
        *("uv", "pip", "install", "--quiet", "--python", python),
        *("--no-compile-bytecode", "--find-links", wheels, wanted),
    )
    imports = (
        f"import {module} as m; names = getattr(m, '__all__', []); "
        "print([getattr(m, name) for name in names])"
    )
    # -I: neither the current folder nor the user's packages help out.
    run(*isolated, "-c", imports)
    if program.exists():
        run(*isolated, program, work)
    if package in ALONE:
        place = f"import os; os.chdir({str(work)!r})\n"
        run(*isolated, "-c", place + example(package))


def example(package: str) -> str:
    """Return the first Python example of a package's README."""
    text = (ROOT / "packages" / package / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if found is None:
        sys.exit(f"The README of {package} has no example.")
    return found[1]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder) / "wheels"
        run("uv", "build", "--quiet", "--all-packages", "--out-dir", wheels)
        for package, module in members().items():
            check(package, module, wheels, Path(folder))
            print(f"{package}: {module} imports from its wheel alone")
