"""Options as users write them, held against the signature that takes them."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

from xturing.core.errors import SettingsError
from xturing.core.names import suggestion


def checked(
    metric: str, maker: Callable[..., Any], options: Mapping[str, object]
) -> dict[str, object]:
    """Return a metric's options, of the types that its maker has them annotated with.

    Raises:
        SettingsError: there is no such option, one is needed, or a value is wrong.
    """
    _, *parameters = signature(maker, eval_str=True).parameters.values()
    known = {parameter.name: parameter for parameter in parameters}
    for name in options:
        if name not in known:
            raise SettingsError(
                f"The metric '{metric}' has no option '{name}'. "
                f"{suggestion(name, known)}"
            )
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in options:
            raise SettingsError(
                f"The metric '{metric}' needs the option '{name}', which is not given."
            )
    return {name: _read(metric, known[name], value) for name, value in options.items()}


def _read(metric: str, parameter: Parameter, value: object) -> object:
    from pydantic import TypeAdapter, ValidationError

    if parameter.annotation is parameter.empty:
        return value
    try:
        return TypeAdapter(parameter.annotation).validate_python(value)
    except ValidationError as error:
        reasons = dict.fromkeys(detail["msg"] for detail in error.errors())
        raise SettingsError(
            f"The option '{parameter.name}' of the metric '{metric}' is {value!r}. "
            f"{' Or: '.join(reasons)}."
        ) from None
