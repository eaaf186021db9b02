"""Seed tasks: what people wrote to begin with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xturing.core.errors import DataError
from xturing.core.files import read_jsonl


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A task carried out once."""

    input: str
    """Empty where the instruction says all."""
    output: str


@dataclass(frozen=True, kw_only=True)
class Seed:
    """A task, and examples of it."""

    instruction: str
    instances: tuple[Instance, ...]
    is_classification: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the task as the lines of a seed file are written."""
        return {
            "instruction": self.instruction,
            "instances": [dict(vars(instance)) for instance in self.instances],
            "is_classification": self.is_classification,
        }


def read_seeds(path: str | Path) -> tuple[Seed, ...]:
    """Return the tasks of a file with one JSON object a line.

    Each has an `instruction`, `instances` of `input` and `output`, and maybe
    `is_classification`; `id` and `name` are for people.

    Raises:
        DataError: the file is missing or empty, or a line is wrong; the message names
            it.
    """
    file = Path(path).expanduser()
    seeds = tuple(_seed(row, f"{file}, line {at}") for at, row in read_jsonl(file))
    if not seeds:
        raise DataError(f"{file} is empty. Write one seed task a line.")
    return seeds


def _seed(row: object, place: str) -> Seed:
    if not isinstance(row, Mapping):
        raise DataError(f"{place}: a seed task is a JSON object.")
    instruction = row.get("instruction")
    if not isinstance(instruction, str) or not instruction.strip():
        raise DataError(
            f"{place}: a seed task has an 'instruction' (this has {sorted(row)})."
        )
    instances = row.get("instances", [])
    if not isinstance(instances, list):
        raise DataError(f"{place}: 'instances' is a list of inputs and outputs.")
    is_classification = row.get("is_classification", False)
    if not isinstance(is_classification, bool):
        raise DataError(
            f"{place}: is_classification is {is_classification!r}, but it is true or "
            "false."
        )
    return Seed(
        instruction=instruction.strip(),
        instances=tuple(_instance(each, place) for each in instances),
        is_classification=is_classification,
    )


def _instance(value: object, place: str) -> Instance:
    told = value if isinstance(value, Mapping) else {}
    given, output = told.get("input", ""), told.get("output")
    if not isinstance(given, str) or not isinstance(output, str):
        raise DataError(
            f"{place}: an instance is written as "
            '{"input": "…", "output": "…"}, the input empty if there is none.'
        )
    return Instance(input=given, output=output)
