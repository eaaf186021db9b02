"""What a fine-tuning run was asked for, as `command.json` in its folder keeps it.

It holds what `xturing finetune` was given and no more, so that the run can go on with
nothing else to type. Paths are absolute; there are no secrets among settings.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xturing.core.errors import DataError
from xturing.core.files import read_json, write_json
from xturing.core.settings import Layer

if TYPE_CHECKING:
    from xturing.data import BaseDataset
    from xturing.data.reading import ReadingOptions

COMMAND_FILE = "command.json"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class FinetuneJob:
    """What is to be learnt, by which model, and how."""

    model: str
    data: str
    eval_data: str | None = None
    limit: int | None = None
    """Rows from the start that are used; None: all."""
    weights: str | None = None
    chat_template: str | None = None
    reading: dict[str, Any] = field(default_factory=dict)
    """How the rows are read, see `data_options.reading`."""
    layers: tuple[Layer, ...] = ()
    """The settings that were given, the strongest last."""

    def datasets(self) -> "tuple[BaseDataset, BaseDataset | None]":
        """Return the rows to learn from, and those that are held out, if given."""
        from xturing.data import open_dataset

        options: ReadingOptions = self.reading  # pyright: ignore[reportAssignmentType]  # what `reading` returned
        dataset = open_dataset(self.data, limit=self.limit, **options)
        if self.eval_data is None:
            return dataset, None
        whole: ReadingOptions = {**options, "split": None}
        return dataset, open_dataset(self.eval_data, **whole)

    @contextmanager
    def kept(self, folder: Path, steps: int) -> Iterator[None]:
        """Have the run's folder say what was asked, and that the run goes on.

        `steps` is how many there will be, as far as that is known.
        """
        write_json(folder / COMMAND_FILE, {**self.as_dict(), "steps": steps})
        with locked(folder / COMMAND_FILE):
            yield

    def as_dict(self) -> dict[str, object]:
        """Return the job for a JSON file that holds wherever it is read from."""
        values = asdict(self)
        for name in ("model", "data", "eval_data", "weights", "chat_template"):
            values[name] = _absolute(values[name])
        return {"format": FORMAT_VERSION, **values}

    @classmethod
    def read(cls, folder: Path) -> "FinetuneJob":
        """Return the job of a run's folder.

        Raises:
            DataError: it does not say what was asked, or in another version's way.
        """
        file = folder / COMMAND_FILE
        if not file.is_file():
            raise DataError(
                f"{folder} has no {COMMAND_FILE}, so its run was not begun by `xturing "
                "finetune`. Go on with what began it, such as finetune(resume=True)."
            )
        values = read_json(file)
        if not isinstance(values, dict) or values.pop("format", 0) != FORMAT_VERSION:
            raise DataError(
                f"{file} is not of format {FORMAT_VERSION}, which this version reads. "
                "Go on with the command that began the run, and --resume."
            )
        values.pop("steps", None)
        try:
            layers = tuple(Layer(**each) for each in values.pop("layers"))
            return cls(**values, layers=layers)
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{file} is damaged: {error}. Go on with the command that began the "
                "run, and --resume."
            ) from error


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a file as long as the block runs; the system lets go if the program dies."""
    try:
        import fcntl
    except ImportError:  # On Windows nobody can tell whether a run goes on.
        yield
        return
    with file.open("rb") as held:
        # Some shared disks have no locks; the run is worth more than what it is called.
        with suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def is_locked(file: Path) -> bool:
    """Tell whether another program holds a file."""
    try:
        import fcntl
    except ImportError:
        return False
    with file.open("rb") as held:
        try:
            # Shared, so that two who ask do not see one another.
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def _absolute(given: str | None) -> str | None:
    """Return the absolute path of what there is, or else what was given."""
    if given is None:
        return None
    path = Path(given).expanduser()
    return str(path.absolute()) if path.exists() else given
