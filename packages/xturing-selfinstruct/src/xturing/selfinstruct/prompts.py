"""The texts that models are asked with: templates, which users may replace by name."""

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from xturing.core.errors import SettingsError
from xturing.core.names import suggestion

SUFFIX = ".jinja"


class Prompts:
    """Templates by name.

    `folder` holds files that take the place of bundled ones of the same name.

    Raises:
        SettingsError: the folder is missing or holds other files, or one of them is no
            template.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._texts = dict(bundled())
        if folder is not None:
            self._texts |= _own(Path(folder).expanduser())

    def render(self, name: str, **values: Any) -> str:
        """Return the prompt that a template makes of values.

        Raises:
            SettingsError: it uses what is not there.
        """
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        try:
            return environment.from_string(self._texts[name]).render(values).strip()
        except TemplateError as error:
            raise SettingsError(
                f"The template {name}{SUFFIX} cannot be filled in: {error}. It has "
                f"these values: {', '.join(sorted(values))}."
            ) from error

    def hashes(self, names: tuple[str, ...]) -> dict[str, str]:
        """Return the SHA-256 of each of these templates."""
        return {
            name: hashlib.sha256(self._texts[name].encode()).hexdigest()
            for name in names
        }


@cache
def bundled() -> Mapping[str, str]:
    """Return the templates that come with the package."""
    folder = files("xturing.selfinstruct").joinpath("templates")
    return {
        file.name.removesuffix(SUFFIX): file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(SUFFIX)
    }


def _own(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise SettingsError(
            f"There is no folder {folder}. Give one with templates such as "
            f"instructions{SUFFIX}."
        )
    texts = {}
    for file in sorted(folder.glob(f"*{SUFFIX}")):
        name = file.name.removesuffix(SUFFIX)
        if name not in bundled():
            raise SettingsError(
                f"{file}: there is no prompt '{name}'. {suggestion(name, bundled())}"
            )
        texts[name] = file.read_text(encoding="utf-8")
    if not texts:
        raise SettingsError(
            f"{folder} holds no template. They are named {', '.join(bundled())}, "
            f"each with {SUFFIX}."
        )
    return texts
