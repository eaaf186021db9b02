"""Which of the examples become the dataset, and how its rows are written."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from xturing.core.events import Notice, tell
from xturing.selfinstruct.instances import Exercise
from xturing.selfinstruct.seeds import Instance, Seed
from xturing.selfinstruct.settings import SelfInstructConfig

Row = dict[str, Any]


def chosen(exercises: Sequence[Exercise], config: SelfInstructConfig) -> list[Exercise]:
    """Return as many tasks as are wanted, of those that have examples, in order."""
    usable = [exercise for exercise in exercises if exercise.instances]
    wanted = config.num_instructions_for_finetuning
    if wanted is None or wanted >= len(usable):
        if wanted is not None and wanted > len(usable):
            tell(
                Notice(
                    text=f"{wanted} instructions were wanted for the dataset, and "
                    f"{len(usable)} have examples that can be used; all are kept."
                )
            )
        return usable
    kept = Random(f"{config.seed} selection").sample(range(len(usable)), wanted)
    return [usable[at] for at in sorted(kept)]


def generated_rows(exercises: Sequence[Exercise]) -> list[Row]:
    """Return one row for each example, as Self-Instruct writes them."""
    return [
        {"instruction": text, "input": instance.input, "output": instance.output}
        for text, instance in _pairs(exercises)
    ]


def dataset_rows(exercises: Sequence[Exercise]) -> list[Row]:
    """Return one row for each example, as `InstructionDataset` takes them."""
    return [
        {"instruction": text, "text": instance.input, "target": instance.output}
        for text, instance in _pairs(exercises)
    ]


def message_rows(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return rows of a dataset as conversations; what else they have stays."""
    own = ("instruction", "text", "target")
    return [
        {
            "messages": [
                {"role": "user", "content": _asked(row["instruction"], row["text"])},
                {"role": "assistant", "content": row["target"]},
            ],
            **{name: value for name, value in row.items() if name not in own},
        }
        for row in rows
    ]


def completion_rows(
    exercises: Sequence[Exercise], seeds: Sequence[Seed], seed: int
) -> list[Row]:
    """Return prompts and completions of all examples and seeds, shuffled.

    No mark stands at their ends: which one a model ends with, its template knows.
    """
    pairs = [
        *_pairs(exercises),
        *(
            (each.instruction, instance)
            for each in seeds
            for instance in each.instances
        ),
    ]
    rows = [
        {"prompt": _asked(text, instance.input), "completion": instance.output}
        for text, instance in pairs
        if instance.output.strip()
    ]
    Random(f"{seed} order").shuffle(rows)
    return rows


def _pairs(exercises: Sequence[Exercise]) -> list[tuple[str, Instance]]:
    return [
        (exercise.task.instruction.text, instance)
        for exercise in exercises
        for instance in exercise.instances
    ]


def _asked(instruction: str, given: str) -> str:
    return f"{instruction}\n{given}" if given else instruction
