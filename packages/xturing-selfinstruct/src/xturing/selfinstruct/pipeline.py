"""Self-Instruct from seed tasks to a dataset (Wang et al. 2022, arXiv 2212.10560)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xturing.core.errors import DataError
from xturing.selfinstruct.asking import Asking
from xturing.selfinstruct.bootstrap import STAGE as INSTRUCTIONS
from xturing.selfinstruct.bootstrap import Bootstrap
from xturing.selfinstruct.clients import Client, open_client
from xturing.selfinstruct.instances import KINDS as CLASSIFICATION
from xturing.selfinstruct.instances import STAGE as INSTANCES
from xturing.selfinstruct.instances import Exercise, Task, make_instances, tell_kinds
from xturing.selfinstruct.prompts import Prompts
from xturing.selfinstruct.runs import (
    MESSAGES,
    Run,
    Stage,
    fingerprint,
    finish,
    opened,
    write_rows,
)
from xturing.selfinstruct.seeds import Seed, read_seeds
from xturing.selfinstruct.selection import (
    chosen,
    completion_rows,
    dataset_rows,
    generated_rows,
    message_rows,
)
from xturing.selfinstruct.settings import SelfInstructConfig
from xturing.selfinstruct.terms import Terms, asking_of, carry_out

PROMPTS = (
    *("instructions", "classification"),
    *("inputs_first", "outputs_first", "plain"),
)


@dataclass(frozen=True)
class Found:
    """What the stages brought."""

    search: Bootstrap
    tasks: list[Task]
    exercises: list[Exercise]

    def stages(self) -> list[Stage]:
        """Return how far each step came."""
        search, tasks, exercises = self.search, self.tasks, self.exercises
        taken = sum(bool(exercise.instances) for exercise in exercises)
        return [
            Stage(
                name=INSTRUCTIONS,
                requests=search.requests,
                found=search.found,
                accepted=len(search.accepted),
            ),
            Stage(
                name=CLASSIFICATION,
                requests=len(search.accepted),
                found=len(tasks),
                accepted=len(tasks),
            ),
            Stage(
                name=INSTANCES,
                requests=len(tasks),
                found=len(exercises),
                accepted=taken,
            ),
        ]


def generate(
    seeds: str | Path | Sequence[Seed],
    engine: str | Client,
    output: str | Path,
    config: SelfInstructConfig | None = None,
    terms: Terms | None = None,
) -> Run:
    """Make a dataset from seed tasks, and return what came of it.

    `engine` is written as PROVIDER:MODEL, such as `openai:gpt-4.1-mini`. A run in the
    folder `output` goes on where it was, and asks nothing that was answered.

    Raises:
        DataError: the seeds cannot be used.
        SettingsError: a setting is wrong, a key is missing, or the folder has a run
            that was begun otherwise.
        OutputError: the folder is in use.
        RemoteError: the service refused for good, or too often; what was answered is
            kept.
    """
    config, terms = config or SelfInstructConfig(), terms or Terms()
    client = open_client(engine) if isinstance(engine, str) else engine
    tasks = read_seeds(seeds) if isinstance(seeds, str | Path) else tuple(seeds)
    _refuse_useless(tasks, config)
    prompts = Prompts(terms.prompts)
    identity = {
        "kind": "self-instruct",
        "engine": f"{client.name}:{client.model}",
        "settings": config.model_dump(mode="json"),
        "prompts": prompts.hashes(PROMPTS),
        "seeds": fingerprint([task.as_dict() for task in tasks]),
    }
    folder = Path(output).expanduser()
    with opened(folder, identity, is_resumed=terms.is_resumed) as journal:
        asking = asking_of(client, journal, prompts, config, terms)
        found = carry_out(client, _found(asking, tasks))
        return _written(folder, identity, asking, tasks, found)


async def _found(asking: Asking[SelfInstructConfig], seeds: Sequence[Seed]) -> Found:
    search = Bootstrap(asking, seeds)
    await search.run()
    config = asking.config
    if config.classification_only or config.answers == "plain":
        kind = config.classification_only
        tasks = [
            Task(instruction=each, is_classification=kind, said="")
            for each in search.accepted
        ]
    else:
        tasks = await tell_kinds(asking, search.accepted)
    exercises = await make_instances(asking, tasks)
    return Found(search, tasks, exercises)


def _written(
    folder: Path,
    identity: Mapping[str, Any],
    asking: Asking[SelfInstructConfig],
    seeds: Sequence[Seed],
    found: Found,
) -> Run:
    config = asking.config
    kept = chosen(found.exercises, config)
    rows = dataset_rows(kept)
    files = {
        "seed_tasks.jsonl": [seed.as_dict() for seed in seeds],
        "machine_generated_instructions.jsonl": [
            instruction.as_dict() for instruction in found.search.accepted
        ],
        "is_clf_or_not.jsonl": [task.as_dict() for task in found.tasks],
        "filtered_instructions.jsonl": [each.as_dict() for each in found.exercises],
        "all_generated.jsonl": generated_rows(found.exercises),
        "finetuning.jsonl": completion_rows(kept, seeds, config.seed),
        MESSAGES: message_rows(rows),
    }
    for name, lines in files.items():
        write_rows(folder, name, lines)
    return finish(folder, identity, asking, found.stages(), rows)


def _refuse_useless(seeds: Sequence[Seed], config: SelfInstructConfig) -> None:
    if not seeds:
        raise DataError("There are no seed tasks. Give one or more.")
    if config.classification_only and not any(seed.is_classification for seed in seeds):
        raise DataError(
            "classification_only is set, but no seed task has is_classification: true. "
            "Mark those that are, or leave the setting out."
        )
