"""`xturing eval --harness`: public benchmarks by lm-evaluation-harness."""

from typing import TYPE_CHECKING, Any

from xturing.cli import render
from xturing.cli.eval_dry_running import show_harness_plan
from xturing.cli.eval_options import Asked
from xturing.cli.eval_shown import progress
from xturing.cli.json_output import answer
from xturing.core.errors import SettingsError
from xturing.core.files import write_json
from xturing.core.settings import DEFAULT

if TYPE_CHECKING:
    from xturing.eval import EvalConfig
    from xturing.eval.harness import HarnessResult

HARNESS_FILE = "harness.json"
KNOWN = ("limit", "seed", "batch_size")
"""Settings that the harness goes by."""


def run(
    models: list[str],
    tasks: str,
    asked: Asked,
    *,
    few_shot: int | None,
    apply_chat_template: bool,
) -> None:
    """Run tasks on models, and show what they come to.

    Raises:
        SettingsError: options are given that the harness does not know.
    """
    from xturing.eval import run_harness

    config = asked.resolved()
    _refuse_others(asked, config)
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    if asked.dry_run:
        show_harness_plan(models, names, asked)
        return
    opened = asked.opener()
    found: list[HarnessResult] = []
    for reference in models:
        with progress(reference):
            result = run_harness(
                opened(reference),
                names,
                limit=config.limit,
                num_fewshot=few_shot,
                batch_size=_given(config, "batch_size"),
                apply_chat_template=apply_chat_template,
                seed=config.seed,
            )
        found.append(result)
        if not asked.as_json:
            _show(reference, result)
    told = [
        {"name": reference, **result.as_dict()}
        for reference, result in zip(models, found, strict=True)
    ]
    if asked.output is not None:
        asked.output.mkdir(parents=True, exist_ok=True)
        write_json(asked.output / HARNESS_FILE, told)
    if asked.as_json:
        answer(told)


def _given(config: "EvalConfig", name: str) -> Any:
    """Return a setting, or None if nobody set it."""
    return getattr(config, name) if config.sources[name] != DEFAULT else None


def _refuse_others(asked: Asked, config: "EvalConfig") -> None:
    others = {
        "-d": asked.data,
        "--task": asked.task,
        "--metrics": asked.metrics,
        "--fail-under": asked.fail_under,
        **{
            f"--set {name}": config.sources[name] != DEFAULT
            for name in type(config).model_fields
            if name not in KNOWN
        },
    }
    for option, value in others.items():
        if value:
            raise SettingsError(
                f"--harness has rows and metrics of its own, so {option} does not go "
                "with it. Leave one of them out."
            )


def _show(model: str, found: "HarnessResult") -> None:
    render.heading(model)
    rows = [
        [
            task.name,
            metric.key.removesuffix(",none"),
            f"{metric.value:.4f}",
            "" if metric.standard_error is None else f"±{metric.standard_error:.4f}",
            str(task.rows),
        ]
        for task in (*found.tasks, *found.groups)
        for metric in task.metrics
    ]
    render.table(["task", "metric", "value", "standard error", "rows"], rows)
