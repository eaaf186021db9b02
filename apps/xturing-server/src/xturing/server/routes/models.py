"""GET /v1/models: the base model and its adapters."""

from fastapi import APIRouter

from xturing.server.refusals import unknown_model
from xturing.server.schemas.replies import ServedModel, ServedModels, failures
from xturing.server.service import Service


def router(service: Service) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()

    @routes.get("/v1/models", responses=failures(401, 500, 503))
    async def list_models() -> ServedModels:
        """List what can be asked."""
        return ServedModels(data=[_served(service, name) for name in service.names])

    @routes.get("/v1/models/{model}", responses=failures(401, 404, 500, 503))
    async def retrieve_model(model: str) -> ServedModel:
        """Tell of one of them."""
        if model not in service.names:
            raise unknown_model(model, service.names)
        return _served(service, model)

    return routes


def _served(service: Service, name: str) -> ServedModel:
    return ServedModel(id=name, created=service.created)
