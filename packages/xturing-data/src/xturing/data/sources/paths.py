"""Names that users give, and the files and folders they stand for."""

from pathlib import Path

from xturing.core.errors import DataError


def existing(given: str | Path) -> Path | str:
    """Return the file or folder of that name, or the string if there is none.

    Raises:
        DataError: there is none of a path, or it is no ordinary file.
    """
    if not str(given):
        raise DataError("The name of the file or folder is empty. Give one.")
    try:
        path = Path(given).expanduser()
        is_ordinary = path.is_file() or path.is_dir()
        is_there = path.exists()
    except (OSError, RuntimeError):
        # Too long for a name, in a folder that is closed to us, or ~nobody.
        is_ordinary = is_there = False
        path = Path(given)
    if is_ordinary:
        return path
    if is_there:
        raise DataError(
            f"{path} is no ordinary file, so its rows cannot be read more than once. "
            "Write them to a file first."
        )
    if isinstance(given, Path):
        raise missing(str(given))
    return given


def missing(given: str) -> DataError:
    """Return what to raise where nothing of that name is."""
    try:
        is_link = Path(given).expanduser().is_symlink()
    except (OSError, RuntimeError, ValueError):
        is_link = False
    if is_link:
        return DataError(f"{given} is a link that leads to no file or folder.")
    return DataError(f"There is no file or folder {given}.")


def path_of(given: object, source: str) -> Path:
    """Return what was given, if a source of files can read it.

    Raises:
        DataError: it is no file or folder.
    """
    if isinstance(given, Path):
        return given
    if isinstance(given, str):
        raise missing(given)
    raise DataError(
        f"The source '{source}' reads files, and this is {type(given).__name__}. "
        "Leave the source out."
    )
