"""The folder of a run, as those see it who tell of it.

Any of its files may be missing: a run may have been stopped before it wrote them.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from xturing.core.files import read_json, read_jsonl

Row = Mapping[str, Any]

DATASET_FILE = "sampled_generated.jsonl"

# "/data", "C:\data", "\\server\data", "~/data", "./data" and "../data".
_PLACE = re.compile(r"(?:[a-zA-Z]:)?[/\\].*|~.*|\.\.?[/\\].*")


@dataclass(frozen=True)
class Example:
    """A task carried out once."""

    instruction: str
    input: str
    output: str


@dataclass(frozen=True)
class Made:
    """What a run's folder holds."""

    folder: Path

    @cached_property
    def summary(self) -> Row:
        """What the run was and took; empty if it does not say."""
        path = self.folder / "summary.json"
        found = read_json(path) if path.exists() else {}
        return found if isinstance(found, Mapping) else {}

    @property
    def engine(self) -> str:
        """Who answered, without places of this machine."""
        provider, _, model = str(self.summary.get("engine", "")).partition(":")
        return f"{provider}:{placeless(model)}" if model else provider

    @property
    def settings(self) -> Row:
        """What was chosen for the run."""
        return self._told("settings")

    @property
    def prompts(self) -> Row:
        """The hashes of the prompts, by their names."""
        return self._told("prompts")

    @property
    def threshold(self) -> float | None:
        """The similarity above which a text was left out."""
        value = self.settings.get("similarity_threshold")
        return float(value) if isinstance(value, int | float) else None

    @cached_property
    def rows(self) -> Sequence[Row]:
        """The dataset."""
        return self._lines(DATASET_FILE)

    @cached_property
    def rejected(self) -> Sequence[Row]:
        """What was left out."""
        return self._lines("rejected.jsonl")

    @cached_property
    def examples(self) -> Sequence[Example]:
        """The dataset, or all that could become it if there is none yet."""
        rows = self.rows or self._lines("all_generated.jsonl")
        return [
            Example(
                instruction=text(row, "instruction"),
                input=text(row, "text") or text(row, "input"),
                output=text(row, "target") or text(row, "output"),
            )
            for row in rows
        ]

    @cached_property
    def instructions(self) -> Sequence[str]:
        """What was generated, or what the rows ask; each once."""
        made = self._lines("machine_generated_instructions.jsonl")
        if made:
            return list(dict.fromkeys(text(row, "instruction") for row in made))
        return list(dict.fromkeys(example.instruction for example in self.examples))

    @cached_property
    def seeds(self) -> Sequence[str]:
        """The instructions that people wrote."""
        return [text(row, "instruction") for row in self._lines("seed_tasks.jsonl")]

    @cached_property
    def kinds(self) -> Counter[str]:
        """How many instructions are classification tasks: "Yes", and "No"."""
        lines = self._lines("is_clf_or_not.jsonl")
        return Counter(text(row, "is_classification").strip() for row in lines)

    @cached_property
    def sources(self) -> Counter[str]:
        """How many rows each file gave."""
        return Counter(text(row, "source") for row in self.rows if row.get("source"))

    def _told(self, name: str) -> Row:
        found = self.summary.get(name)
        return found if isinstance(found, Mapping) else {}

    def _lines(self, name: str) -> list[Row]:
        path = self.folder / name
        if not path.exists():
            return []
        return [row for _, row in read_jsonl(path) if isinstance(row, Mapping)]


def text(row: Row, name: str) -> str:
    """Return a field's text; empty, if there is none."""
    value = row.get(name)
    return "" if value is None else str(value)


def number(row: Row, name: str) -> int:
    """Return a field's number; 0, if there is none."""
    value = row.get(name)
    return value if isinstance(value, int) else 0


def placeless(name: str) -> str:
    """Return a name as it is, and of a place on this machine only the last part."""
    if not _PLACE.fullmatch(name):
        return name
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1]
