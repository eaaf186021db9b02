"""Which engine is the fastest that can do with a model on this machine."""

import logging
from typing import TYPE_CHECKING

from xturing.core.errors import MissingDependencyError, ModelError, SettingsError
from xturing.models.inference.engine import ENGINES, Engine, EngineOptions

if TYPE_CHECKING:
    from xturing.models.base import BaseModel

logger = logging.getLogger(__name__)

ON_CPU = ("native", "openvino", "torch")
ON_GPU = ("vllm", "torch")
"""The fastest first; torch can do with everything."""


def chosen(model: "BaseModel", options: EngineOptions) -> Engine:
    """Return the first engine that opens the model; the log has why others did not."""
    *others, last = ON_CPU if model.engine.device.name == "cpu" else ON_GPU
    for name in others:
        try:
            return ENGINES[name](model, options)
        except (ModelError, MissingDependencyError, SettingsError) as error:
            logger.info("not the engine %s: %s", name, error)
    return ENGINES[last](model, options)
