"""Why a request is not answered, as HTTP says it: a status and a sentence.

The routes of OpenAI's protocol have its shape of errors, the old one has its own.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from fastapi.responses import JSONResponse

from xturing.core.errors import BusyError, SettingsError, XTuringError
from xturing.core.names import suggestion
from xturing.server.schemas.fields import UnknownFieldError

OLD_ROUTES = ("/api", "/health", "/health/ready")
"""Routes whose errors are {"success": false, "message": …}."""
UNEXPECTED = (
    "Something went wrong in the server. Its log has the reason, under the number in "
    "the x-request-id header."
)
_TYPES = {
    401: "authentication_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}
_SHOWN = 100
"""Most characters of what a client sent that an error repeats."""


class RefusedError(XTuringError):
    """A reason not to answer a request."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    @property
    def error(self) -> dict[str, object]:
        """What OpenAI's clients read."""
        return {
            "message": self.message,
            "type": _TYPES.get(self.status, "invalid_request_error"),
            "param": self.param,
            "code": self.code,
        }

    def response(self, path: str) -> JSONResponse:
        """Return the reply, in the shape of a route."""
        if path in OLD_ROUTES:
            content: dict[str, object] = {"success": False, "message": self.message}
        else:
            content = {"error": self.error}
        return JSONResponse(content, self.status, self.headers)


def unexpected() -> RefusedError:
    """Return what is said of our own mistakes, which tells nothing of them."""
    return RefusedError(500, UNEXPECTED, code="internal_error")


def later(status: int, message: str, code: str, seconds: int) -> RefusedError:
    """Return what is said to clients who should come again after some seconds."""
    headers = {"Retry-After": str(seconds)}
    return RefusedError(status, message, code=code, headers=headers)


def refusal_of(error: XTuringError, retry_after_seconds: int) -> RefusedError:
    """Return what a client is told of an error."""
    match error:
        case RefusedError():
            return error
        case BusyError():
            message = "The server has as many requests as it can take. Come again soon."
            return later(429, message, "busy", retry_after_seconds)
        case SettingsError():
            return RefusedError(400, str(error), code="unsupported_value")
    return unexpected()


def refusal_of_fields(details: Sequence[Any]) -> RefusedError:
    """Return what a client is told of fields that pydantic refused; of the first."""
    detail = details[0]
    if detail["type"] == "model_attributes_type" and detail["loc"] == ("body",):
        return RefusedError(
            400, "The request's body is a JSON object.", code="invalid_request"
        )
    parts = takewhile(lambda part: not _is_branch(part), detail["loc"][1:])
    where = ".".join(map(str, parts))
    unknown = detail.get("ctx", {}).get("error")
    if isinstance(unknown, UnknownFieldError):
        param = f"{where}.{unknown.name}" if where else unknown.name
        return RefusedError(400, str(unknown), param=shown(param), code="unknown_field")
    reason = detail["msg"].removeprefix("Value error, ")
    message = f"{where or 'The body'}: {reason[:1].lower()}{reason[1:]}."
    return RefusedError(400, message, param=where or None, code="invalid_value")


def _is_branch(part: object) -> bool:
    """Return whether this names one of several types, and no field."""
    if not isinstance(part, str):
        return False
    return part == "str" or not part.isidentifier() or part[:1].isupper()


def shown(text: str) -> str:
    """Return as much of a client's text as is repeated to it."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def unknown_model(name: str, known: Sequence[str]) -> RefusedError:
    """Return what is said of a model that is not served."""
    message = f"There is no model '{shown(name)}'. {suggestion(shown(name), known)}"
    return RefusedError(404, message, param="model", code="model_not_found")
