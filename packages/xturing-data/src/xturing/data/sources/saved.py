"""A folder that `dataset.save` or `datasets.save_to_disk` wrote."""

from pathlib import Path

from xturing.core.errors import DataError
from xturing.data.sources import Options, Table
from xturing.data.sources.columnar import arrow_errors
from xturing.data.sources.memory import dataset_table
from xturing.data.sources.paths import path_of

MARKS = ("dataset_dict.json", "state.json")
"""Files of which every such folder has one."""


class _Saved:
    def reads(self, given: object) -> bool:
        return isinstance(given, Path) and any(
            (given / mark).is_file() for mark in MARKS
        )

    def table(self, given: object, options: Options) -> Table:
        path = path_of(given, "saved")
        from datasets import load_from_disk

        try:
            dataset = load_from_disk(str(path))
        except FileNotFoundError as error:
            raise DataError(
                f"The folder {path} holds no saved dataset. Give a folder that "
                "`dataset.save` wrote, or the file with the rows itself."
            ) from error
        except (*arrow_errors(), KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"The folder {path} was written by `dataset.save` or `save_to_disk` "
                f"and is damaged ({type(error).__name__}: {error}). Save it again."
            ) from error
        return dataset_table(dataset, str(path), options)


Saved = _Saved()
