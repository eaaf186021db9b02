"""Names and what they stand for, loaded when they are asked for."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Generic, TypeVar, cast

from xturing.core.errors import SettingsError, UnknownNameError
from xturing.core.names import suggestion
from xturing.core.plugins import entry_points

Target = TypeVar("Target")


class Registry(Mapping[str, Target], Generic[Target]):
    """The things of one kind by name, those of installed plug-ins included.

    `group` is the entry point group in which other distributions add names. A target
    given as "module:attribute" is imported when it is first asked for, so listing the
    names imports nothing.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        targets: Mapping[str, Target | str] | None = None,
    ) -> None:
        self.kind = kind
        self.group = group
        self._targets: dict[str, Target | str] = dict(targets or {})

    def add(self, name: str, target: Target) -> None:
        """Give `target` a name.

        Raises:
            SettingsError: the name is taken.
        """
        if name in self:
            raise SettingsError(
                f"There is a {self.kind} '{name}' already; choose another name."
            )
        self._targets[name] = target

    def __getitem__(self, name: str) -> Target:
        if name in self._targets:
            target = self._targets[name]
            if isinstance(target, str):
                target = self._targets[name] = cast(Target, _import(target))
            return target
        plugins = self._plugins()
        if name in plugins:
            return plugins[name].load()
        raise UnknownNameError(
            f"There is no {self.kind} '{name}'. {suggestion(name, self)}"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._targets, *self._plugins()}))

    def __len__(self) -> int:
        return len({*self._targets, *self._plugins()})

    def __contains__(self, name: object) -> bool:
        return name in self._targets or name in self._plugins()

    def _plugins(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}


def _import(target: str) -> object:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
