"""Build every package, and import each in an environment of its wheel alone.

    uv run python tools/check_wheels.py

`releasing.wheels` says what is checked; `release.py check` does it on several Pythons.
"""

import sys
import tempfile
from pathlib import Path

from releasing.wheels import META, build, check_alone
from releasing.workspace import members

from xturing.core.errors import XTuringError


def main() -> None:
    """Build and check all packages, and end with the output of what fails."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        build(work / "wheels")
        for member in members():
            check_alone(member, work / "wheels", work, Path(sys.executable))
            print(
                f"{member.name}: {member.module or META} imports from its wheel alone"
            )


if __name__ == "__main__":
    try:
        main()
    except XTuringError as error:
        sys.exit(str(error))
