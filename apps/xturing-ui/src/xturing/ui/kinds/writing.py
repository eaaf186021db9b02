"""Commands and Python as text, put together from values."""

from collections.abc import Mapping

SOURCE = "page"
"""Who has set what is set in a page."""


def option(name: str, value: object) -> list[str]:
    """Return an option of a command, or nothing where it has no value."""
    return [] if value is None or value == "" else [name, str(value)]


def assignments(settings: Mapping[str, object]) -> list[str]:
    """Return settings as options of a command."""
    return [part for item in settings.items() for part in ("--set", _setting(*item))]


def arguments(**values: object) -> str:
    """Return keyword arguments of a call in Python, those without a value left out."""
    return ", ".join(
        f"{name}={value!r}" for name, value in values.items() if value is not None
    )


def _setting(name: str, value: object) -> str:
    if value is None:
        return f"{name}=null"
    if isinstance(value, bool):
        return f"{name}={str(value).lower()}"
    if isinstance(value, list | tuple):
        return f"{name}=[{', '.join(map(str, value))}]"
    return f"{name}={value}"
