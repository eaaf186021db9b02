"""Rows that a user names by a path, or uploads."""

import shutil
from pathlib import Path

import gradio as gr

from xturing.core.errors import DataError
from xturing.core.files import free_folder
from xturing.ui.places import Places

TYPES = [".json", ".jsonl", ".csv", ".tsv", ".parquet", ".txt", ".zst", ".gz"]


class RowsInput:
    """A path, or a file from the user's own machine."""

    def __init__(self, label: str, name: str, places: Places) -> None:
        self._places = places
        with gr.Row():
            self.path = gr.Textbox(
                label=label,
                placeholder=f"A file or a folder in {places.root}",
                scale=3,
                elem_id=f"{name}-path",
            )
            self.upload = gr.File(
                label="or upload", height=130, scale=1, elem_id=f"{name}-upload"
            )

    @property
    def inputs(self) -> list[gr.Textbox | gr.File]:
        """The components that `chosen` takes the values of."""
        return [self.path, self.upload]

    def chosen(self, path: str | None, upload: str | None) -> str | None:
        """Return where the rows are; None: nothing was said.

        Raises:
            SettingsError: the path is outside of the app's folder.
            DataError: the upload is empty.
        """
        if upload:
            return self._kept(Path(upload))
        if path and path.strip():
            return self._places.readable(path)
        return None

    def needed(self, path: str | None, upload: str | None) -> str:
        """Return where the rows are.

        Raises:
            DataError: nothing was said.
        """
        found = self.chosen(path, upload)
        if found is None:
            raise DataError("Name a file of rows, or upload one.")
        return found

    def _kept(self, upload: Path) -> str:
        """Return where an upload is kept for as long as its job may want it."""
        if not upload.is_file() or not upload.stat().st_size:
            raise DataError(f"{upload.name} is empty; upload a file with rows.")
        place = self._places.uploads / upload.parent.name / upload.name
        if place.resolve() != upload.resolve():
            place = free_folder(self._places.uploads / upload.stem) / upload.name
            place.parent.mkdir(parents=True)
            shutil.copyfile(upload, place)
        return str(place.relative_to(self._places.root))
