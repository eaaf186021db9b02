"""A .json file: an array of rows, or one object of equally long lists."""

from pathlib import Path

from xturing.core.errors import DataError
from xturing.core.files import read_json
from xturing.data.sources import Table
from xturing.data.sources.memory import columns_table, rows_table


class _JsonFile:
    def reads(self, given: object) -> bool:
        return isinstance(given, Path) and given.suffix.lower() == ".json"

    def table(self, given: Path) -> Table:
        value = read_json(given)
        if isinstance(value, list):
            return rows_table(value, str(given))
        if isinstance(value, dict):
            return columns_table(value, str(given))
        raise DataError(
            f"{given} holds {type(value).__name__}, not rows. "
            "A .json file is an array with one object a row."
        )


JsonFile = _JsonFile()
