"""What models are asked and how it is measured, from a task or from rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from xturing.core.errors import SettingsError
from xturing.data.datasets import BaseDataset, open_dataset
from xturing.eval.answering import Manner
from xturing.eval.metrics import Metric, opened
from xturing.eval.questions import Question
from xturing.eval.settings import EvalConfig
from xturing.eval.tasks import (
    Task,
    automatic_metrics,
    dataset_version,
    questions_of,
    questions_of_dataset,
)

MAX_NEW_TOKENS = 256
ROWS = "rows"
"""The name of an examination without a task."""

Options = Mapping[str, Mapping[str, Any]]
"""Metrics by name, each with its own options."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """Questions, how they are answered, and what is measured."""

    name: str
    version: str
    data: str
    """Where the rows are from."""
    questions: Sequence[Question]
    metrics: Options
    manner: Manner

    def opened_metrics(self) -> list[Metric]:
        """Return the metrics, which have to fit the questions.

        Raises:
            DataError: one does not.
            SettingsError: one has no such option.
            UnknownNameError: there is none of a name.
        """
        offered = {"samples": self.manner.samples}
        return [
            opened(name, self.questions, options, offered)
            for name, options in self.metrics.items()
        ]

    def settings(self, config: EvalConfig) -> dict[str, Any]:
        """Return all that was chosen, for reports."""
        manner = {**asdict(self.manner), "stop": list(self.manner.stop)}
        metrics = {name: dict(options) for name, options in self.metrics.items()}
        return {**config.model_dump(mode="json"), **manner, "metrics": metrics}


def examination(
    asked: object, config: EvalConfig, metrics: Options | None = None
) -> Examination:
    """Return what is asked: a task, a dataset, or what `open_dataset` takes.

    Without metrics, they are the task's, or those that suit the rows.

    Raises:
        DataError: the rows cannot be read.
        SettingsError: several answers are wanted, but always the likeliest.
    """
    if isinstance(asked, Task):
        questions = questions_of(asked, limit=config.limit, seed=config.seed)
        name, version, data = asked.name, str(asked.version), asked.data
        chosen, task = metrics or asked.metric_options, asked
    else:
        dataset = asked if isinstance(asked, BaseDataset) else open_dataset(asked)
        questions = questions_of_dataset(dataset, limit=config.limit)
        name, version, data = ROWS, dataset_version(questions), dataset.origin
        chosen, task = metrics, None
    return Examination(
        name=name,
        version=version,
        data=data,
        questions=questions,
        metrics=chosen or {each: {} for each in automatic_metrics(questions)},
        manner=_manner(config, task),
    )


def _manner(config: EvalConfig, task: Task | None) -> Manner:
    """Return how answers are written: what is set, or else what the task says."""
    samples = config.samples or (task.samples if task else 1)
    temperature = config.temperature or (task.temperature if task else None)
    if samples > 1 and temperature is None:
        raise SettingsError(
            f"samples is {samples}, but without a temperature all of them would be the "
            "same. Set temperature, such as 0.7, or samples to 1."
        )
    most = task.max_new_tokens if task else MAX_NEW_TOKENS
    return Manner(
        max_new_tokens=config.max_new_tokens or most,
        batch_size=config.batch_size,
        samples=samples,
        temperature=temperature,
        top_p=config.top_p,
        stop=tuple(task.stop) if task else (),
        seed=config.seed,
    )
