"""A folder with a file a split: train.jsonl, valid.jsonl, test.jsonl and the like."""

from dataclasses import replace
from pathlib import Path

from xturing.core.errors import DataError
from xturing.data.sources import Options, Table, open_table
from xturing.data.sources.files import ending
from xturing.data.sources.names import SPLITS, choose_split
from xturing.data.sources.paths import path_of
from xturing.data.sources.text_file import ENDINGS

ROWS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", *ENDINGS)


class _Splits:
    def reads(self, given: object) -> bool:
        return isinstance(given, Path) and given.is_dir() and bool(_files(given))

    def table(self, given: object, options: Options) -> Table:
        path = path_of(given, "splits")
        if not path.is_dir():
            raise DataError(f"{path} is no folder, so it has no splits.")
        files = _files(path)
        name = choose_split(tuple(files), options.split, str(path))
        if len(files[name]) > 1:
            listed = ", ".join(file.name for file in files[name])
            raise DataError(
                f"{path} has more than one file for '{name}': {listed}. Give the one "
                "that you mean."
            )
        return open_table(files[name][0], None, replace(options, split=None))


def _files(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each split, by what their names are before the first dot."""
    files: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        name = file.name.partition(".")[0]
        if name in SPLITS and ending(file) in ROWS and file.is_file():
            files.setdefault(name, []).append(file)
    return files


Splits = _Splits()
