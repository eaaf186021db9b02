"""Jinja over the columns of a row, in a sandbox, with errors that name row and column.

A column that a row does not have is an error, and so is one that is null where a text
is to be written: a model would be asked about "None".
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateError,
    TemplateRuntimeError,
    TemplateSyntaxError,
    Undefined,
)
from jinja2.environment import TemplateExpression
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from xturing.core.errors import DataError
from xturing.core.names import suggestion

Row = Mapping[str, Any]

MARKS = "{{", "{%", "{#"
"""What tells a template from an expression."""

FAILURES = TemplateError, ArithmeticError, LookupError, TypeError, ValueError
"""What a template raises that does not go with a row."""


def check(template: str) -> str:
    """Return the template; `ValueError` if it is none."""
    try:
        _ENVIRONMENT.parse(template)
    except TemplateSyntaxError as error:
        reason = str(error.message).rstrip(".")
        raise ValueError(f"it is no Jinja template ({reason})") from None
    return template


def is_template(text: str) -> bool:
    """Tell whether a text is a template, rather than a column or an expression."""
    return any(mark in text for mark in MARKS)


def render(template: str, row: Row, field: str, place: str) -> str:
    """Return the text that a template makes of a row.

    `field` is what the task calls the template.

    Raises:
        DataError: it does not go with the row.
    """
    try:
        return _template(template).render(_values(row))
    except FAILURES as error:
        raise _unfit(template, row, field, place, error) from error


def evaluate(expression: str, row: Row, field: str, place: str) -> object:
    """Return a row's column, or else the value of an expression.

    Raises:
        DataError: it does not go with the row, or is no expression.
    """
    if expression in row:
        return row[expression]
    try:
        value = _expression(expression)(_values(row))
        if isinstance(value, Undefined):
            # Says what is undefined, by the error that it raises.
            str(value)
    except TemplateSyntaxError as error:
        raise DataError(
            f"{place}: the task's '{field}' is '{expression}', which is neither a "
            f"column nor a Jinja expression ({error.message}). "
            f"{suggestion(expression, map(str, row))}"
        ) from error
    except FAILURES as error:
        raise _unfit(f"{{{{ {expression} }}}}", row, field, place, error) from error
    return value


def _unfit(
    template: str, row: Row, field: str, place: str, error: Exception
) -> DataError:
    columns = [str(name) for name in row]
    used = find_undeclared_variables(_ENVIRONMENT.parse(template))
    absent = sorted(used - set(_values(row)))
    # A name may be missing from a branch that is not taken.
    if absent and isinstance(error, TemplateError):
        return DataError(
            f"{place}: the task's '{field}' uses the column '{absent[0]}', which this "
            f"row does not have. {suggestion(absent[0], columns)}"
        )
    return DataError(
        f"{place}: the task's '{field}' does not go with this row ({error}). It has "
        f"the columns {', '.join(columns)}."
    )


def _values(row: Row) -> dict[str, Any]:
    return {"row": row, **row}


def _written(value: object) -> object:
    if value is None:
        raise TemplateRuntimeError("a value that it writes is null")
    return value


_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, finalize=_written, trim_blocks=True, lstrip_blocks=True
)


@lru_cache(256)
def _template(text: str) -> Template:
    return _ENVIRONMENT.from_string(text)


@lru_cache(256)
def _expression(text: str) -> TemplateExpression:
    return _ENVIRONMENT.compile_expression(text, undefined_to_none=False)
