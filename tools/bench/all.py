"""Run benchmarks one after the other, and put their ratios into one table.

    uv run python tools/bench/all.py novelty "quant memory"
    uv run python tools/bench/all.py --list
    uv run python tools/bench/all.py --every --output ratios.md

Below the table stands what machine it was, and each benchmark's own command.
"""

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from results import Ratio, recorded

from xturing.core.errors import DataError, XTuringError
from xturing.core.files import write_text

FOLDER = Path(__file__).parent
BENCHMARKS: Mapping[str, Sequence[str]] = {
    "data": ("data.py", "--rows", "50000"),
    "data stream": ("data.py", "--stream", "2"),
    "eval": ("eval.py",),
    "novelty": ("novelty.py",),
    "planner": ("planner.py", "--deadlines", "60", "120", "240"),
    "quant fidelity": ("quant.py", "fidelity"),
    "quant memory": ("quant.py", "memory"),
    "quant qlora": ("quant.py", "qlora"),
    "quant speed": ("quant.py", "speed"),
    "serve": ("serve.py",),
    "train": ("train.py", "--rows", "200"),
}
"""Scripts with their options, by the names that users write."""
SIGNS = {"more": "more is better", "less": "less is better", "one": "1 is right"}
LIBRARIES = ("torch", "transformers", "peft", "lightning", "numpy")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a benchmark."""

    name: str
    command: str
    """What does it again."""
    ratios: Sequence[Ratio]
    code: int
    """What the script ended with; not 0 where a bound was missed, or it failed."""


def run(name: str) -> Outcome:
    """Run a benchmark, which tells what it does while it does it."""
    script, *options = BENCHMARKS[name]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ratios.json"
        words = [sys.executable, str(FOLDER / script), *options, "--json", str(file)]
        done = subprocess.run(words, check=False)
        try:
            ratios = recorded(file)
        except DataError:
            ratios = []
    command = shlex.join(["uv", "run", "python", f"tools/bench/{script}", *options])
    return Outcome(name=name, command=command, ratios=ratios, code=done.returncode)


def machine() -> Mapping[str, str]:
    """Return what the figures depend on beside the code."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": f"{os.cpu_count()}",
        "memory": f"{memory / 1e9:.1f} GB",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "libraries": ", ".join(filter(None, map(_version, LIBRARIES))),
    }


def report(outcomes: Sequence[Outcome], about: Mapping[str, str]) -> str:
    """Return the table of all ratios, with what is needed to find them again."""
    rows = [
        f"| {each.name} | {ratio.name} | {ratio.value:.3g} | {SIGNS[ratio.better]} |"
        for each in outcomes
        for ratio in each.ratios
    ]
    missed = [
        f"- {each.name} ended with code {each.code}: it failed, or missed a bound."
        for each in outcomes
        if each.code
    ]
    return "\n".join(
        [
            *("# Ratios", ""),
            *("| benchmark | ratio | value | |", "|---|---|---|---|", *rows, ""),
            *([*missed, ""] if missed else ()),
            *("| machine | |", "|---|---|"),
            *(f"| {name} | {value} |" for name, value in about.items()),
            *("", "```sh", *(each.command for each in outcomes), "```", ""),
        ]
    )


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    if file.is_file():
        for line in file.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return ""


def main() -> None:
    """Read the options, run what was chosen, and show the table."""
    parser = argparse.ArgumentParser(description="Run benchmarks, and show all ratios.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="see --list")
    parser.add_argument("--every", action="store_true", help="run all; takes hours")
    parser.add_argument("--list", action="store_true", help="show what there is")
    parser.add_argument("--output", type=Path, help="write the table here too")
    given = parser.parse_args()
    names = [*BENCHMARKS] if given.every else given.names
    unknown = [name for name in names if name not in BENCHMARKS]
    if given.list or unknown or not names:
        for name, words in BENCHMARKS.items():
            print(f"{name}: {' '.join(words)}")
        sys.exit(f"There is no benchmark '{unknown[0]}'." if unknown else 0)
    outcomes = [run(name) for name in names]
    text = report(outcomes, machine())
    print(text)
    try:
        if given.output:
            write_text(given.output, text)
    except XTuringError as error:
        sys.exit(str(error))
    sys.exit(any(each.code for each in outcomes))


if __name__ == "__main__":
    main()
