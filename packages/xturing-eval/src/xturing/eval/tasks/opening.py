"""Tasks by name, or by the path of their YAML file."""

from pathlib import Path

from xturing.core.errors import DataError, UnknownNameError
from xturing.core.names import suggestion
from xturing.eval.tasks.task import Task

BUNDLED = Path(__file__).with_name("bundled")
"""Where the tasks are that come with the package."""
ENDINGS = (".yaml", ".yml")


def open_task(reference: str | Path) -> Task:
    """Return a bundled task by its name, or the task of a YAML file.

    Raises:
        UnknownNameError: there is no bundled task of that name.
        DataError: there is no file at that path.
        SettingsError: the file holds no task; the message names the field.
    """
    if _is_path(reference):
        path = Path(reference).expanduser()
        if not path.is_file():
            raise DataError(
                f"There is no file {path}. A task is a .yaml file, or one of the names "
                f"{', '.join(_bundled())}."
            )
        return Task.read(path)
    name = str(reference)
    bundled = _bundled()
    if name not in bundled:
        raise UnknownNameError(
            f"There is no task '{name}'. {suggestion(name, bundled)} A task of your "
            f"own is given by the path of its file, such as ./{name}.yaml."
        )
    return Task.read(bundled[name])


def bundled_tasks() -> list[Task]:
    """Return the tasks that come with the package, in the order of their names."""
    return [Task.read(path) for path in _bundled().values()]


def _is_path(reference: str | Path) -> bool:
    if isinstance(reference, Path):
        return True
    return reference.endswith(ENDINGS) or "/" in reference or "\\" in reference


def _bundled() -> dict[str, Path]:
    paths = sorted(BUNDLED.glob("*.yaml"), key=lambda path: path.stem)
    return {path.stem: path for path in paths}
