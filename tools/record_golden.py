"""Record anew what tests hold the code to, after a change that was meant.

    uv run python tools/record_golden.py            # all, and say what changed
    uv run python tools/record_golden.py prompts
    uv run python tools/record_golden.py --check    # change nothing

`prompts` are the golden conversations as each bundled template writes them for the
default model's tokenizer, with their token ids. `surface` are the public names, by the
`__all__` of their packages. Look at the difference before you commit it: it is what
users will see. Values that other programs computed are not recorded here; they stand in
tests beside the program and its version.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from documenting.reading import Sources

from xturing.core.files import write_text

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
TOKENIZER = "smollm2"
NUMBERS = re.compile(r"\[\s+(\d+(?:,\s+\d+)*)\s+\]")


@dataclass(frozen=True)
class Golden:
    """A file that is recorded."""

    file: Path
    record: Callable[[Path], str]
    """Makes of the file's place what it should hold."""

    def difference(self) -> str:
        """Return what recording would change, as a diff; empty where nothing would."""
        before = self.file.read_text("utf-8") if self.file.is_file() else ""
        lines = unified_diff(
            before.splitlines(keepends=True),
            self.record(self.file).splitlines(keepends=True),
            *("recorded", "now"),
        )
        return "".join(lines)


def surface(file: Path) -> str:
    """Return the public names of the packages that the file has names of."""
    known = file.read_text("utf-8").split()
    packages = dict.fromkeys(name.rpartition(".")[0] for name in known)
    sources = Sources(ROOT)
    names = (
        f"{package}.{name}"
        for package in packages
        for name in sorted(sources.exported(package))
    )
    return "".join(f"{name}\n" for name in names)


def prompts(_: Path) -> str:
    """Return the golden conversations in each template, as JSON."""
    from transformers import AutoTokenizer

    from xturing.core.templates import CONTROL_TOKENS, chat_template
    from xturing.models import families
    from xturing.models.hub import locate_family
    from xturing.models.template import GOLDEN, prompt_ids

    folder = locate_family(families()[TOKENIZER]).folder
    plain = AutoTokenizer.from_pretrained(folder)
    written = {}
    for name in sorted(CONTROL_TOKENS):
        tokenizer = deepcopy(plain)
        tokenizer.add_tokens(list(CONTROL_TOKENS[name]), special_tokens=True)
        tokenizer.chat_template = chat_template(name)
        written[name] = [
            {
                "text": tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True
                ),
                "ids": prompt_ids(tokenizer, messages),
            }
            for messages in GOLDEN
        ]
    return as_json({"tokenizer": TOKENIZER, "templates": written})


def as_json(value: object) -> str:
    """Return JSON in which a list of numbers stands on one line."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


GOLDENS: Mapping[str, Golden] = {
    "prompts": Golden(TESTS / "tools" / "golden" / "prompts.json", prompts),
    "surface": Golden(TESTS / "architecture" / "surface.txt", surface),
}


def main() -> None:
    """Read the arguments, and record or compare."""
    parser = argparse.ArgumentParser(description="Record anew what tests compare with.")
    parser.add_argument("names", nargs="*", choices=[*GOLDENS, []], metavar="NAME")
    parser.add_argument("--check", action="store_true", help="change nothing")
    given = parser.parse_args()
    changed = False
    for name in given.names or GOLDENS:
        golden = GOLDENS[name]
        difference = golden.difference()
        changed |= bool(difference)
        print(difference or f"{name}: as it was recorded")
        if difference and not given.check:
            write_text(golden.file, golden.record(golden.file))
    sys.exit(given.check and changed)


if __name__ == "__main__":
    main()
