"""Sources that read one file, told by how its name ends."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xturing.data.sources import Options, Table
from xturing.data.sources.paths import path_of
from xturing.data.sources.unpacking import PACKED


@dataclass(frozen=True)
class FileSource:
    """A way to read one file."""

    name: str
    endings: tuple[str, ...]
    """How names of such files end, what packed them left out; none to be asked for."""
    read: Callable[[Path, Options], Table]

    def reads(self, given: object) -> bool:
        """Tell whether the name of a file says that it is one of these."""
        if not isinstance(given, Path) or not given.is_file():
            return False
        return ending(given) in self.endings

    def table(self, given: object, options: Options) -> Table:
        """Return the rows of the file."""
        path = path_of(given, self.name)
        options.refuse_split(str(path))
        return self.read(path, options)


def ending(path: Path) -> str:
    """Return how a file's name ends, in lower case and as if nothing had packed it."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
