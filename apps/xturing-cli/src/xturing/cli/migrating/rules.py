"""What becomes of another program's settings: taken over, or left with a reason.

A program's table has a rule for each of its keys. What no rule knows is left, too, and
said so: nothing is dropped in silence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from xturing.core.errors import SettingsError
from xturing.core.settings import Layer

Option = Literal[
    "model",
    "weights",
    "data",
    "split",
    "eval_data",
    "limit",
    "chat_template",
    "config",
    "output",
]
"""What the command line says, in place of the settings file."""


ALWAYS = "it is always so"


class NotTakenError(Exception):
    """A value has no counterpart; the message says why."""


@dataclass(frozen=True)
class Rule:
    """What becomes of one key."""

    ours: str = ""
    """Our setting; empty if there is none."""
    convert: Callable[[object], object] = lambda value: value
    """Their value -> ours; raises `NotTakenError` where there is none."""
    option: Option | None = None
    """The option that says it instead."""
    reason: str = ""
    """Why it is not taken over."""
    note: str = ""
    """What to know of it where it is."""


class Taken(NamedTuple):
    """A value of ours, and where it comes from."""

    value: object
    origin: str
    """Their key, or several."""
    note: str = ""


class Left(NamedTuple):
    """A value of theirs that was not taken over."""

    value: object
    reason: str


@dataclass
class Migration:
    """What another program's settings come to."""

    program: str
    settings: dict[str, Taken] = field(default_factory=dict)
    """For `--config` of `xturing finetune`."""
    options: dict[Option, Taken] = field(default_factory=dict)
    """For its command line."""
    generation: dict[str, Taken] = field(default_factory=dict)
    """For `--set` of `xturing generate` and `xturing chat`."""
    left: dict[str, Left] = field(default_factory=dict)

    def apply(self, values: Mapping[str, object], table: Mapping[str, Rule]) -> None:
        """Take over what a table has rules for, and leave the rest with a reason."""
        for key, value in values.items():
            rule = table.get(key)
            if rule is None:
                reason = f"it is not among the keys of {self.program} that are known"
                self.left[key] = Left(value, reason)
            else:
                self._follow(rule, key, value)

    def set(self, name: str, value: object, origin: str, note: str = "") -> None:
        """Take over a setting; what is out of its range is left."""
        from xturing.models import FinetuningConfig

        try:
            FinetuningConfig.resolve(Layer(source=origin, values={name: value}))
        except SettingsError as error:
            self.left[origin] = Left(value, str(error))
        else:
            before = self.settings.get(name)
            told = origin if before is None else f"{before.origin}, {origin}"
            self.settings[name] = Taken(value, told, note)

    def write(self, name: str, value: object, origin: str) -> None:
        """Take over a setting for how a model writes."""
        from xturing.models import GenerationConfig

        try:
            GenerationConfig.resolve(Layer(source=origin, values={name: value}))
        except SettingsError as error:
            self.left[origin] = Left(value, str(error))
        else:
            self.generation[name] = Taken(value, origin)

    def _follow(self, rule: Rule, key: str, value: object) -> None:
        if rule.reason:
            self.left[key] = Left(value, rule.reason)
            return
        try:
            ours = rule.convert(value)
        except NotTakenError as error:
            self.left[key] = Left(value, str(error))
            return
        if rule.option is not None:
            self.options[rule.option] = Taken(ours, key, rule.note)
        elif rule.ours:
            self.set(rule.ours, ours, key, rule.note)
        else:
            self.left[key] = Left(value, ALWAYS)


def number(value: object) -> object:
    """Return what YAML read as a word as the number it is, such as 1e-4.

    Raises:
        NotTakenError: it is none.
    """
    if isinstance(value, bool | int | float):
        return value
    try:
        return float(str(value))
    except ValueError:
        raise NotTakenError(f"{value!r} is no number") from None


def whole(value: object) -> object:
    """Return a whole number, which may be written as 3.0.

    Raises:
        NotTakenError: it is none.
    """
    found = float(str(number(value)))
    if found != int(found):
        raise NotTakenError("only whole numbers are possible; round it")
    return int(found)


def positive(value: object) -> object:
    """Return a whole number above 0; others mean that there is no limit.

    Raises:
        NotTakenError: it is none, or says that there is no limit.
    """
    found = whole(value)
    if not isinstance(found, int) or found < 1:
        raise NotTakenError("it sets no limit, and neither does leaving it out")
    return found


def among(known: Mapping[str, str], otherwise: str) -> Callable[[object], object]:
    """Return a conversion by a table; `otherwise` says why others are not taken."""

    def convert(value: object) -> object:
        found = known.get(str(value).lower())
        if found is None:
            raise NotTakenError(otherwise)
        return found

    return convert


def when(wanted: object, ours: object, otherwise: str) -> Callable[[object], object]:
    """Return a conversion of one value alone."""

    def convert(value: object) -> object:
        if value != wanted:
            raise NotTakenError(otherwise)
        return ours

    return convert
