"""Settings that refuse what they do not know, and layers of them that keep score.

A `Settings` class is a pydantic model which users may change by assignment. It rejects
unknown names with the nearest known one, checks types on every assignment, and
remembers for each value who set it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from xturing.core.errors import SettingsError
from xturing.core.names import suggestion

DEFAULT = "default"
ASSIGNED = "assignment"
EXTENDS = "extends"
"""What a settings file calls the files that it goes on from."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Values for some settings, and where they come from."""

    source: str
    values: Mapping[str, object]


class Settings(BaseModel):
    """Named, typed values that remember who set them."""

    model_config = ConfigDict(
        extra="forbid",
        validate_assignment=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    def __init__(self, **values: Any) -> None:
        _refuse_unknown(type(self), values)
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_explained(type(self).__name__, error)) from None
        self._sources.update(dict.fromkeys(values, ASSIGNED))

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_"):
            super().__setattr__(name, value)
            return
        _refuse_unknown(type(self), [name])
        try:
            super().__setattr__(name, value)
        except ValidationError as error:
            raise SettingsError(_explained(type(self).__name__, error)) from None
        self._sources[name] = ASSIGNED

    @property
    def sources(self) -> dict[str, str]:
        """Who set each setting: the name of a layer, "assignment" or "default"."""
        known = type(self).model_fields
        return {name: self._sources.get(name, DEFAULT) for name in known}

    @classmethod
    def resolve(cls, *layers: Layer) -> Self:
        """Return the settings that the layers add up to, the last one winning.

        Raises:
            SettingsError: a layer has an unknown name or a value of a wrong type; the
                message names the layer.
        """
        values: dict[str, object] = {}
        sources: dict[str, str] = {}
        for layer in layers:
            try:
                cls(**values | dict(layer.values))
            except SettingsError as error:
                raise SettingsError(f"{layer.source}: {error}") from None
            values |= layer.values
            sources |= dict.fromkeys(layer.values, layer.source)
        settings = cls(**values)
        settings._sources = sources
        return settings

    def layered(self, *layers: Layer) -> Self:
        """Return a copy with more layers on top."""
        own = [
            Layer(source=source, values={name: getattr(self, name)})
            for name, source in self._sources.items()
        ]
        return self.resolve(*own, *layers)


def read_yaml(path: Path) -> Layer:
    """Return the settings written in a YAML file.

    Raises:
        SettingsError: the file is missing, is not YAML or holds no mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"There is no settings file {path}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(values, dict):
        raise SettingsError(
            f"{path} holds {type(values).__name__}, not settings. "
            "Write one `name: value` a line, such as `learning_rate: 2e-4`."
        )
    named = {str(name): value for name, value in values.items()}
    return Layer(source=f"file {path}", values=named)


def read_layers(path: Path) -> list[Layer]:
    """Return the settings of a YAML file after those of the files that it extends.

    `extends: base.yaml`, or a list of files, is relative to the file that it stands in.

    Raises:
        SettingsError: a file is missing or holds no settings, or one extends itself.
    """
    return _extended(path, ())


def parse_setting(text: str, *, option: str) -> Layer:
    """Return the setting written as FIELD=VALUE, its value read as YAML.

    Raises:
        SettingsError: it is not written so.
    """
    name, sign, value = text.partition("=")
    name = name.strip()
    if not sign:
        raise SettingsError(f"{option} {text}: write it as {option} FIELD=VALUE.")
    try:
        values = {name: yaml.safe_load(value)}
    except yaml.YAMLError as error:
        raise SettingsError(f"{option} {text}: {error}") from error
    return Layer(source=f"option {option} {name}", values=values)


def _extended(path: Path, above: tuple[Path, ...]) -> list[Layer]:
    """Return a file's layers; `above` are the files that have led to it."""
    way = " -> ".join(map(str, (*above, path)))
    if path.resolve() in [each.resolve() for each in above]:
        raise SettingsError(f"{path} extends itself: {way}. Take one `extends` out.")
    if above and not path.is_file():
        raise SettingsError(
            f"There is no settings file {path}, which {above[-1]} extends. The path is "
            "relative to the file that names it."
        )
    own = read_yaml(path)
    values = dict(own.values)
    named = values.pop(EXTENDS, [])
    names = [named] if isinstance(named, str) else named
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise SettingsError(
            f"{path}: {EXTENDS} is {named!r}. Name a file or a list of files, such as "
            f"`{EXTENDS}: base.yaml`."
        )
    files = (path.parent / Path(name).expanduser() for name in names)
    layers = [layer for file in files for layer in _extended(file, (*above, path))]
    return [*layers, Layer(source=own.source, values=values)]


def _refuse_unknown(cls: type[Settings], names: Mapping[str, Any] | list[str]) -> None:
    for name in names:
        if name not in cls.model_fields:
            raise SettingsError(
                f"{cls.__name__} has no setting '{name}'. "
                f"{suggestion(name, cls.model_fields)}"
            )


def _explained(kind: str, error: ValidationError) -> str:
    problems = []
    for detail in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in detail["loc"]) or kind
        reason = detail["msg"].removeprefix("Value error, ")
        reason = reason[:1].lower() + reason[1:]
        problems.append(f"{where} is {detail['input']!r}, but {reason}.")
    return " ".join(problems)
