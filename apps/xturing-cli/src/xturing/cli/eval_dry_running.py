"""What `--dry-run` shows of an evaluation: its questions, metrics and models."""

from pathlib import Path
from typing import TYPE_CHECKING

from xturing.cli.dry_running import checked_model, show_intent
from xturing.cli.eval_options import Asked, names_of
from xturing.cli.setting_options import settings_with_sources

if TYPE_CHECKING:
    from xturing.eval import EvalConfig


def show_plan(
    models: list[str], asked: Asked, subject: object, config: "EvalConfig"
) -> None:
    """Show what models would be asked, having checked all that was given.

    Raises:
        UnknownNameError: there is no such metric or model.
    """
    from xturing.eval.examination import examination

    named = names_of(asked.metrics)
    options = None if named is None else {name: {} for name in named}
    exam = examination(subject, config, options)
    exam.opened_metrics()
    asked.gates()
    facts: dict[str, object] = {
        "task": exam.name,
        "questions": len(exam.questions),
        "metrics": [*exam.metrics],
        "models": [_checked(model, asked) for model in models],
        "output": asked.output,
    }
    if asked.as_json:
        facts["settings"] = settings_with_sources(config)
    show_intent(facts, as_json=asked.as_json)


def show_harness_plan(models: list[str], tasks: list[str], asked: Asked) -> None:
    """Show which tasks of lm-evaluation-harness would be run; it knows their names."""
    facts = {
        "tasks": tasks,
        "models": [_checked(model, asked) for model in models],
        "output": asked.output,
    }
    show_intent(facts, as_json=asked.as_json)


def _checked(model: str, asked: Asked) -> str:
    """Return a model's name, if there is such a model or evaluation."""
    from xturing.eval import read_evaluation
    from xturing.eval.rescoring import is_evaluation

    if is_evaluation(model):
        read_evaluation(model)
        return f"{model} (evaluated)"
    is_folder = Path(model).expanduser().is_dir()
    return checked_model(model, None if is_folder else asked.weights).name
