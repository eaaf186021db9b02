"""GET /health, /health/ready and /metrics: how the server is."""

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST

from xturing.server.schemas.old import OldFailure
from xturing.server.schemas.replies import Health, failures
from xturing.server.service import Service


def router(service: Service) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()

    @routes.get("/health", responses=failures(500, model=OldFailure))
    async def is_live() -> Health:
        """Tell that the server runs."""
        return _health(service, "API server is running")

    @routes.get("/health/ready", responses=failures(500, 503, model=OldFailure))
    async def is_ready() -> Health:
        """Tell whether new requests are taken."""
        if not service.gate.is_open:
            raise service.gate.refusal()
        return _health(service, "API server is ready")

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}},
            **failures(401, 500),
        },
    )
    async def metrics() -> Response:
        """Tell numbers to Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return routes


def _health(service: Service, message: str) -> Health:
    load = service.engine.load()
    return Health(
        message=message,
        model=service.model_name,
        engine=service.engine.name,
        running=load.running,
        waiting=load.waiting,
    )
