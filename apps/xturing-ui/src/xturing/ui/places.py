"""Where a page may read and write: below one folder, and nowhere else."""

from dataclasses import dataclass
from pathlib import Path

from xturing.core.errors import ModelError, OutputError, SettingsError
from xturing.core.files import free_folder, refuse_used

OWN = "xturing-ui"
"""Folder of jobs and uploads."""


@dataclass(frozen=True)
class Places:
    """The folder that an app works in; paths without a root are of it."""

    root: Path

    @property
    def jobs(self) -> Path:
        """Folder of the jobs."""
        return self.root / OWN / "jobs"

    @property
    def uploads(self) -> Path:
        """Folder of what browsers send, and of what they are given."""
        return self.root / OWN / "uploads"

    def readable(self, text: str) -> str:
        """Return a path that may be read, as short as it can be written.

        Raises:
            SettingsError: it is outside, or there is nothing.
        """
        path = self._inside(text)
        if not path.exists():
            raise SettingsError(
                f"There is no {text.strip()} in {self.root}. Name a file or a folder "
                "below it, or upload a file."
            )
        return self._short(path)

    def writable(self, text: str, otherwise: str) -> str:
        """Return a path that nothing is at yet; without a text, a name that is free.

        Raises:
            SettingsError: it is outside.
            OutputError: something is there.
        """
        if not text.strip():
            return self._short(free_folder(self.root / otherwise))
        path = self._inside(text)
        if path == self.root or (self.root / OWN) in (path, *path.parents):
            raise OutputError(f"{text.strip()} is the app's own; name another folder.")
        refuse_used(path)
        return self._short(path)

    def model(self, text: str) -> str:
        """Return a model's name, or the folder of one that may be read.

        Raises:
            ModelError: there is no such name, and no such folder.
            SettingsError: the folder is outside.
        """
        from xturing.core.errors import UnknownNameError
        from xturing.models import Variant

        name = text.strip()
        if not name:
            raise ModelError("Name a model, or the folder of a saved one.")
        try:
            Variant.parse(name)
        except UnknownNameError as error:
            if self._inside(name).is_dir():
                return self.readable(name)
            raise ModelError(
                f"{error} There is no folder {name} in {self.root} either."
            ) from None
        return name

    def here(self, reference: str) -> str:
        """Return a model's name, or its folder from wherever the app was started."""
        folder = self.root / reference
        return str(folder) if folder.is_dir() else reference

    def inside(self, text: str) -> str:
        """Return a path that may be read and written, whether or not it is there.

        Raises:
            SettingsError: it is outside.
        """
        return self._short(self._inside(text))

    def weights(self, text: str) -> str | None:
        """Return where weights are: a hub id, or what may be read; None: not said.

        Raises:
            SettingsError: the path is outside.
        """
        name = text.strip()
        if not name:
            return None
        looks_like_id = name.count("/") <= 1 and not name.startswith((".", "~", "/"))
        if looks_like_id and not (self.root / name).exists():
            return name
        return self.readable(name)

    def _inside(self, text: str) -> Path:
        name = text.strip()
        if not name or "\0" in name:
            raise SettingsError("Name a file or a folder.")
        # Links are followed before it is looked at where they lead.
        path = (self.root / Path(name).expanduser()).resolve()
        if path != self.root and self.root not in path.parents:
            raise SettingsError(
                f"{name} is outside of {self.root}, which is all that this page may "
                "read and write. Start the app with --root FOLDER to work elsewhere."
            )
        return path

    def _short(self, path: Path) -> str:
        return str(path.relative_to(self.root))
