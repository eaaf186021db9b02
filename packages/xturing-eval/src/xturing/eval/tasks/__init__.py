"""Tasks: what is asked, of which rows, and how it is measured; one YAML file each.

A task has a version, which goes up whenever its rows or its wording change, so that
figures are compared only where the same was asked. Data without a task is asked too;
part of its hash is then its version.
"""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.eval.tasks.asking import questions_of
    from xturing.eval.tasks.automatic import automatic_metrics
    from xturing.eval.tasks.opening import bundled_tasks, open_task
    from xturing.eval.tasks.plain_data import dataset_version, questions_of_dataset
    from xturing.eval.tasks.task import Task, Turn

__all__ = [
    "Task",
    "Turn",
    "automatic_metrics",
    "bundled_tasks",
    "dataset_version",
    "open_task",
    "questions_of",
    "questions_of_dataset",
]

__getattr__ = exports(
    __name__,
    Task="task",
    Turn="task",
    automatic_metrics="automatic",
    bundled_tasks="opening",
    dataset_version="plain_data",
    open_task="opening",
    questions_of="asking",
    questions_of_dataset="plain_data",
)
