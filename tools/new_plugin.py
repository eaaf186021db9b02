"""Copy the plug-in template under another name.

    uv run python tools/new_plugin.py acme [FOLDER]

The package is called xturing-plugin-acme, and `acme` is what users write for everything
it adds. It works when it is installed: `uv pip install FOLDER`.
"""

import argparse
import re
import sys
from pathlib import Path

from xturing.core.errors import SettingsError, XTuringError
from xturing.core.files import new_folder

TEMPLATE = Path(__file__).with_name("plugin_template")
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def renamed(text: str, name: str) -> str:
    """Return a text of the template, or a path in it, for a plug-in of that name."""
    words = name.split("-")
    text = text.replace("plugin-example", f"plugin-{name}")
    text = text.replace("example", "_".join(words))
    return text.replace("Example", "".join(word.title() for word in words))


def new_plugin(name: str, folder: Path) -> None:
    """Write a plug-in of that name to a folder that is not in use.

    Raises:
        SettingsError: the name cannot be one of a package.
        OutputError: the folder is in use, or the disk is full.
    """
    if not NAME.fullmatch(name):
        raise SettingsError(
            f"'{name}' is no name for a plug-in. Write small letters and digits, in "
            "words with hyphens between them, such as acme or acme-metrics."
        )
    with new_folder(folder) as draft:
        for file in sorted(TEMPLATE.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                place = draft / renamed(str(file.relative_to(TEMPLATE)), name)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(renamed(file.read_text("utf-8"), name), "utf-8")


def main() -> None:
    """Read the arguments, and write the plug-in."""
    parser = argparse.ArgumentParser(description="Copy the plug-in template.")
    parser.add_argument("name", help="what users write, such as acme")
    parser.add_argument("folder", nargs="?", type=Path, help="where it goes")
    given = parser.parse_args()
    folder = given.folder or Path(f"xturing-plugin-{given.name}")
    try:
        new_plugin(given.name, folder)
    except XTuringError as error:
        sys.exit(str(error))
    print(f"{folder} holds xturing-plugin-{given.name}; its README says what is what.")


if __name__ == "__main__":
    main()
