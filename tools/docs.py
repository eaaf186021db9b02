"""Build the documentation: every README, the names of each package, and the commands.

    uv run python tools/docs.py dist/docs

Plain pages that open from the folder. A link that leads nowhere, and a public name that
nothing explains, is an error with its place.
"""

import argparse
import sys
from pathlib import Path

from documenting.site import write_site

from xturing.core.errors import XTuringError

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Read the arguments, and write the site."""
    parser = argparse.ArgumentParser(description="Build the documentation as pages.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("dist/docs"))
    parser.add_argument("--overwrite", action="store_true", help="replace the folder")
    given = parser.parse_args()
    try:
        pages = write_site(ROOT, given.folder, overwrite=given.overwrite)
    except XTuringError as error:
        sys.exit(str(error))
    print(f"{len(pages)} pages in {given.folder}; open {given.folder / 'index.html'}")


if __name__ == "__main__":
    main()
