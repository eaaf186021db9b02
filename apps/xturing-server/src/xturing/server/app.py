"""The application: routes around an engine, and what every request passes through."""

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware import Middleware
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response

from xturing.core.errors import XTuringError
from xturing.models.inference.engine import Engine
from xturing.server.admission import Admission
from xturing.server.bodies import BodyBound
from xturing.server.envelope import Envelope, log_failure
from xturing.server.refusals import RefusedError, refusal_of, refusal_of_fields
from xturing.server.routes import chat, completions, health, models, old
from xturing.server.service import Configured, Service, service_for
from xturing.server.settings import ServerSettings

_SENTENCES = {
    404: "There is no such route; see /openapi.json for those there are.",
    405: "The route does not have this method; see /openapi.json.",
}


def create_app(
    engine: Engine, settings: ServerSettings, *, model_name: str, model: Configured
) -> FastAPI:
    """Return the application that answers by an engine.

    `model` tells how answers are written if a request does not say. The engine stays
    the caller's to close. `app.state.service` is what the routes share.
    """
    service = service_for(engine, settings, model_name=model_name, model=model)
    app = FastAPI(
        title="xTuring",
        description="One model and its adapters, by OpenAI's protocol.",
        # Their pages would load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=_middleware(service),
    )
    app.state.service = service
    for routes in (health, models, chat, completions, old):
        app.include_router(routes.router(service))
    _answer_errors(app, settings.retry_after_seconds)
    return app


def _middleware(service: Service) -> list[Middleware]:
    settings = service.settings
    inner: list[Any] = [
        Middleware(Envelope, metrics=service.metrics),
        Middleware(Admission, gate=service.gate, api_key=settings.api_key),
        Middleware(BodyBound, max_body_bytes=settings.max_body_bytes),
    ]
    if not settings.cors_origins:
        return inner
    # Outside of the rest, as browsers ask it without a key.
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type"],
        expose_headers=["x-request-id", "Retry-After"],
    )
    return [cors, *inner]


def _answer_errors(app: FastAPI, retry_after_seconds: int) -> None:
    @app.exception_handler(XTuringError)
    async def refused(request: Request, error: XTuringError) -> Response:
        refusal = refusal_of(error, retry_after_seconds)
        if refusal.status == 500:
            log_failure(error)
        return refusal.response(request.url.path)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        refusal = refusal_of_fields(error.errors())
        return refusal.response(request.url.path)

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        message = _SENTENCES[error.status_code]
        refusal = RefusedError(error.status_code, message, headers=error.headers)
        return refusal.response(request.url.path)
