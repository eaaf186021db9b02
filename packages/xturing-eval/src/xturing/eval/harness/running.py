"""Tasks of the lm-evaluation-harness on a model, from first to last."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from xturing.core.errors import DataError, SettingsError
from xturing.core.resampling import RESAMPLES
from xturing.eval.environment import environment
from xturing.eval.fingerprints import fingerprint
from xturing.eval.harness.opening import open_tasks
from xturing.eval.harness.results import HarnessMetric, HarnessResult, HarnessTask
from xturing.eval.harness.surroundings import (
    library,
    other_seed,
    quiet,
    same_environment,
    seeded,
)
from xturing.eval.keeping import key_of
from xturing.models.base import BaseModel

LIBRARIES = ("lm-eval", "datasets")
ERROR = "_stderr"


def run_harness(
    model: BaseModel,
    tasks: Sequence[str | Path],
    *,
    limit: int | None = None,
    num_fewshot: int | None = None,
    batch_size: int | None = None,
    apply_chat_template: bool = False,
    seed: int = 0,
) -> HarnessResult:
    """Return how a model does in tasks of the lm-evaluation-harness.

    A task is a name that comes with lm-eval, whose rows are fetched from the hub, or
    the path of a YAML file, whose `data_files` are given from its folder on. `limit`
    takes the first rows alone. `num_fewshot` sets the examples before each question,
    unless the task has set them to 0. `seed` is added to lm-eval's own seeds.

    Numbers are those of lm-eval with its own model class for transformers. Standard
    errors that have no formula are drawn `RESAMPLES` times.

    Raises:
        MissingDependencyError: lm-eval is not installed.
        SettingsError: a number is out of range, no task or one twice is named, or one
            runs code that the model writes, or shows pictures.
        UnknownNameError: lm-eval has no such task.
        DataError: a task's file or rows cannot be used, or the hub cannot be reached.
        ModelError: the model has no chat template, or its numbers are broken.
    """
    evaluator = library("evaluator")
    _refuse_out_of_range(limit, num_fewshot)
    # lm-eval's bootstrap would start a process for each core.
    with same_environment(DISABLE_MULTIPROC="1"), seeded(seed), quiet():
        from xturing.eval.harness.language_model import XTuringLM

        asked = XTuringLM(model, batch_size=batch_size)
        opened = open_tasks(tasks)
        for name, task in opened["tasks"].items():
            _set_up(name, task, num_fewshot, seed)
        found = _evaluated(evaluator, asked, opened, limit, apply_chat_template)
    return HarnessResult(
        model=model.config_name,
        fingerprint=fingerprint(model),
        tasks=tuple(_task(found, name) for name in opened["tasks"]),
        groups=tuple(_task(found, name) for name in found.get("groups", {})),
        settings={
            "limit": limit,
            "num_fewshot": num_fewshot,
            "apply_chat_template": apply_chat_template,
            "seed": seed,
        },
        environment=environment(model) | {name: version(name) for name in LIBRARIES},
    )


def _evaluated(
    evaluator: Any, model: Any, opened: Mapping[str, Any], limit: int | None, chat: bool
) -> dict[str, Any]:
    try:
        return evaluator.evaluate(
            model,
            opened,
            limit=limit,
            bootstrap_iters=RESAMPLES,
            apply_chat_template=chat,
            fewshot_as_multiturn=True,
        )
    except (AssertionError, TemplateError, ValueError) as error:
        raise DataError(
            f"lm-eval cannot ask {', '.join(opened['tasks'])} ({error}). Look at the "
            "task's rows and templates, and whether there are rows for num_fewshot."
        ) from error


def _set_up(name: str, task: Any, num_fewshot: int | None, seed: int) -> None:
    if getattr(task, "UNSAFE_CODE", False):
        raise SettingsError(
            f"The task '{name}' runs code that the model writes, which is not done "
            "here. The metric pass_at_k does so with a checker of yours."
        )
    if getattr(task, "MULTIMODAL", False):
        raise SettingsError(
            f"The task '{name}' shows pictures or plays sounds, but the model is asked "
            "in text alone. Leave it out."
        )
    own = task.get_config("num_fewshot")
    if num_fewshot is not None and own != 0:
        task.set_config(key="num_fewshot", value=num_fewshot)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=other_seed(seed))


def _refuse_out_of_range(limit: int | None, num_fewshot: int | None) -> None:
    if limit is not None and limit < 1:
        raise SettingsError(f"limit is {limit}, but is 1 or more.")
    if num_fewshot is not None and num_fewshot < 0:
        raise SettingsError(f"num_fewshot is {num_fewshot}, but is 0 or more.")


def _task(found: Mapping[str, Any], name: str) -> HarnessTask:
    """Return a task or group of what lm-eval found."""
    values = found["results"][name]
    samples = found["samples"].get(name, ())
    directions = found["higher_is_better"].get(name, {})
    kinds = "doc_hash", "prompt_hash", "target_hash"
    return HarnessTask(
        name=name,
        version=str(found["versions"].get(name)),
        rows=values["sample_len"],
        shots=found["n-shot"].get(name),
        metrics=tuple(
            HarnessMetric(
                name=metric,
                filter=through,
                value=float(value),
                standard_error=_number(values.get(f"{metric}{ERROR},{through}")),
                higher_is_better=directions.get(metric),
            )
            for metric, through, value in _split(values)
        ),
        asked=key_of([[each[kind] for kind in kinds] for each in samples])
        if samples
        else "",
        samples=tuple(samples),
    )


def _split(values: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """Return metrics, filters and values; lm-eval writes "metric,filter" for them."""
    found = []
    for key, value in values.items():
        metric, comma, through = key.partition(",")
        if comma and not metric.endswith(ERROR):
            found.append((metric, through, value))
    return found


def _number(value: Any) -> float | None:
    """Return a standard error; lm-eval writes "N/A" where it has none."""
    return None if isinstance(value, str | None) else float(value)
