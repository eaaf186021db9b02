"""A .jsonl file: one JSON object a line."""

from pathlib import Path

from xturing.core.files import read_jsonl
from xturing.data.sources import Table
from xturing.data.sources.memory import rows_table


class _JsonlFile:
    def reads(self, given: object) -> bool:
        return isinstance(given, Path) and given.suffix.lower() == ".jsonl"

    def table(self, given: Path) -> Table:
        numbered = list(read_jsonl(given))
        return rows_table(
            [value for _, value in numbered],
            str(given),
            lines=[number for number, _ in numbered],
        )


JsonlFile = _JsonlFile()
