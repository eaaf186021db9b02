"""A folder that `dataset.save` or `datasets.save_to_disk` wrote."""

from pathlib import Path

from xturing.core.errors import DataError
from xturing.data.sources import Table
from xturing.data.sources.memory import dataset_table


class _Folder:
    def reads(self, given: object) -> bool:
        return isinstance(given, Path) and given.is_dir()

    def table(self, given: Path) -> Table:
        from datasets import load_from_disk

        try:
            dataset = load_from_disk(str(given))
        except FileNotFoundError as error:
            raise DataError(
                f"The folder {given} holds no saved dataset. Give a folder that "
                "`dataset.save` wrote, or the file with the rows itself."
            ) from error
        return dataset_table(dataset, str(given))


Folder = _Folder()
