"""The ratios that a benchmark came to, as a file that others read.

Each script prints what it finds for people; with `--json FILE` it writes its ratios
too, and `all.py` puts those of several into one table. Scripts run in the environments
of rivals as well, where there is no xturing; so it is imported when it is needed.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Better = Literal["more", "less", "one"]
"""What a ratio should be: as high, as low or as near to one as it can."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """What a figure of ours is of another's, both measured in one run."""

    name: str
    """What is divided by what."""
    value: float
    better: Better = "more"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Give a benchmark the option that says where its ratios go."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write ratios here")


def record(file: Path | None, ratios: Iterable[Ratio]) -> None:
    """Write ratios to a file, if one is named."""
    from xturing.core.files import write_json

    if file is not None:
        write_json(file, [asdict(ratio) for ratio in ratios])


def recorded(file: Path) -> list[Ratio]:
    """Return the ratios that a benchmark wrote.

    Raises:
        DataError: it wrote none.
    """
    from xturing.core.errors import DataError
    from xturing.core.files import read_json

    found = read_json(file)
    if not isinstance(found, list) or not found:
        raise DataError(f"{file} holds no ratios: {json.dumps(found)[:80]}.")
    return [Ratio(**each) for each in found]
