"""Options that several commands share: the fields of one dataclass."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, get_type_hints

Command = Callable[..., None]


def grouped(kind: type[Any], name: str) -> Callable[[Command], Command]:
    """Return a decorator that has a command's argument `name` made of options.

    There is an option for each field of `kind`, a dataclass whose fields are annotated
    as Typer has it.
    """
    hints = get_type_hints(kind, include_extras=True)
    added = [
        parameter.replace(annotation=hints[field], kind=inspect.Parameter.KEYWORD_ONLY)
        for field, parameter in inspect.signature(kind).parameters.items()
    ]
    given = [field.name for field in fields(kind)]

    def decorate(command: Command) -> Command:
        own = inspect.signature(command).parameters
        shown = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in own.values()
            if parameter.name != name
        ]

        @wraps(command)
        def told(**options: Any) -> None:
            group = kind(**{field: options.pop(field) for field in given})
            command(**{name: group}, **options)

        told.__signature__ = inspect.Signature([*shown, *added])  # pyright: ignore[reportAttributeAccessIssue]  # what Typer reads
        return told

    return decorate
