"""What tasks of the lm-evaluation-harness come to, in its own names."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class HarnessMetric:
    """One figure of a task."""

    name: str
    """As lm-eval calls it, such as acc, acc_norm or exact_match."""
    filter: str
    """What answers went through before: "none", or a filter of the task."""
    value: float
    standard_error: float | None
    """None where lm-eval has none for it."""
    higher_is_better: bool | None
    """None where lm-eval does not say."""

    @property
    def key(self) -> str:
        """What lm-eval has it under, such as "acc,none"."""
        return f"{self.name},{self.filter}"


@dataclass(frozen=True, kw_only=True)
class HarnessTask:
    """A task or a group of tasks, and what a model came to."""

    name: str
    version: str
    """As the task says."""
    rows: int
    shots: int | None
    """Examples before each question; None where the tasks of a group differ."""
    metrics: tuple[HarnessMetric, ...]
    asked: str = ""
    """SHA-256 of its rows and prompts; of a group, nothing."""
    samples: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """Each row under each filter, as lm-eval notes it."""

    def metric(self, key: str) -> HarnessMetric:
        """Return a metric by its key or name; `KeyError` if there is none."""
        for metric in self.metrics:
            if key in (metric.key, metric.name):
                return metric
        raise KeyError(key)

    def as_dict(self) -> dict[str, Any]:
        """Return the task for a JSON file, its samples left out."""
        found = asdict(replace(self, samples=()))
        del found["samples"]
        return found


@dataclass(frozen=True, kw_only=True)
class HarnessResult:
    """What one model came to in tasks of the lm-evaluation-harness."""

    model: str
    fingerprint: str
    """Of its weights and template."""
    tasks: tuple[HarnessTask, ...]
    groups: tuple[HarnessTask, ...] = ()
    """What lm-eval makes of tasks that belong together."""
    settings: Mapping[str, Any]
    environment: Mapping[str, str]
    """Versions of what computed it, and on what."""

    def task(self, name: str) -> HarnessTask:
        """Return a task or group by its name; `KeyError` if there is none."""
        for task in (*self.tasks, *self.groups):
            if task.name == name:
                return task
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        """Return the result for a JSON file, its samples left out."""
        return asdict(replace(self, tasks=(), groups=())) | {
            "tasks": [task.as_dict() for task in self.tasks],
            "groups": [group.as_dict() for group in self.groups],
        }
