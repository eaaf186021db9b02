"""Tasks by name, or by the path of a YAML file, loaded with their rows.

Rows of the tasks that come with lm-eval are on the Hugging Face hub. A task of one's
own can have them in files beside it, and then works without a connection.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from yaml import YAMLError

from xturing.core.errors import DataError, SettingsError, UnknownNameError
from xturing.core.events import Notice, tell
from xturing.core.names import suggestion
from xturing.eval.harness.surroundings import library

FILE_KINDS = ("arrow", "csv", "json", "parquet", "text")
"""Values of `dataset_path` with which `data_files` are files, not names on the hub."""
SUFFIXES = (".yaml", ".yml")
UNUSABLE = (
    *(AssertionError, AttributeError, ImportError, LookupError, OSError),
    *(TemplateError, TypeError, ValueError, YAMLError),
)
"""What lm-eval raises for mistakes in a task, of which it checks few by itself."""


def open_tasks(names: Sequence[str | Path]) -> dict[str, dict[str, Any]]:
    """Return lm-eval's tasks and groups, by "tasks" and "groups" and their names.

    Raises:
        SettingsError: there are none, or two of the same name.
        UnknownNameError: lm-eval has no such task.
        DataError: a file or its rows cannot be used, or the hub cannot be reached.
    """
    found: dict[str, dict[str, Any]] = {"tasks": {}, "groups": {}}
    for name in [names] if isinstance(names, str) else names:
        path = Path(name).expanduser()
        is_file = path.suffix in SUFFIXES
        opened = _of_file(path) if is_file else _bundled_task(str(name))
        for kind, things in found.items():
            more = opened.get(kind, {})
            for twice in things.keys() & more.keys():
                raise SettingsError(f"'{twice}' is named twice; name each task once.")
            things.update(more)
    if not found["tasks"]:
        raise SettingsError("No task is named; name one of lm-eval's, or a YAML file.")
    return found


def _bundled_task(name: str) -> dict[str, Any]:
    manager = bundled()
    if name not in manager.all_tasks:
        raise UnknownNameError(
            f"lm-eval has no task '{name}'. {suggestion(name, manager.all_tasks)} A "
            "task of your own is named by the path of its .yaml file."
        )
    return _loaded(manager, name, name, is_on_hub=True)


@cache
def bundled() -> Any:
    """Return the manager of the tasks that come with lm-eval."""
    tell(Notice(text="Reading lm-eval's list of tasks, which takes some seconds"))
    return library("tasks").TaskManager()


def _of_file(path: Path) -> dict[str, Any]:
    try:
        config = library("tasks._yaml_loader").load_yaml(path)
    except UNUSABLE as error:
        raise DataError(
            f"{path} cannot be read as a task of lm-eval: {error}"
        ) from error
    name = config.get("task")
    if not isinstance(name, str):
        raise DataError(
            f"{path} is no task, since its 'task' is {name!r}, not a name. A group is "
            "run by naming the files of its tasks."
        )
    is_on_hub = config.get("dataset_path") not in (None, *FILE_KINDS)
    options = config.get("dataset_kwargs") or {}
    if not is_on_hub and "data_files" in options:
        files = _located(options["data_files"], path.absolute().parent)
        config["dataset_kwargs"] = {**options, "data_files": files}
    manager = library("tasks").TaskManager(include_defaults=False)
    return _loaded(manager, config, str(path), is_on_hub=is_on_hub)


def _located(files: Any, folder: Path) -> Any:
    """Return files by their whole paths; they are given from the folder on."""
    if isinstance(files, dict):
        return {split: _located(each, folder) for split, each in files.items()}
    if isinstance(files, list):
        return [_located(each, folder) for each in files]
    if "://" in files:
        return files
    return str(folder / Path(files).expanduser())


def _loaded(
    manager: Any, spec: object, label: str, *, is_on_hub: bool
) -> dict[str, Any]:
    from datasets import config
    from datasets.exceptions import DatasetsError

    from xturing.data.sources.reaching import answers, offline

    if is_on_hub:
        tell(Notice(text=f"Fetching the rows of '{label}' from the hub"))
    # A hub that does not answer would be waited for, and asked again and again.
    is_cut_off = is_on_hub and (
        config.HF_HUB_OFFLINE or not answers(config.HF_ENDPOINT)
    )
    try:
        with offline() if is_cut_off else nullcontext():
            return manager.load([spec])
    except (DatasetsError, *UNUSABLE) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        if is_cut_off and isinstance(error, DatasetsError | OSError | ValueError):
            raise DataError(
                f"The rows of the task '{label}' come from the hub, which cannot be "
                f"reached ({config.HF_ENDPOINT}), and were not fetched before. Run it "
                "with a connection, or name a YAML file of your own whose rows are in "
                "files (dataset_path: json), which works without."
            ) from error
        raise DataError(f"The task '{label}' cannot be loaded ({reason}).") from error
