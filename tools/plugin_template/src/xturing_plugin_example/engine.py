"""An inference engine: another one's, with weights that are rounded unless told not to.

An engine that computes by itself is a `Runner` (`xturing.models.inference.runner`) in a
`BatchingEngine`.
"""

from dataclasses import replace

from xturing.models import BaseModel
from xturing.models.inference import Engine, EngineOptions
from xturing.models.inference import open_engine as opened


def open_engine(model: BaseModel, options: EngineOptions) -> Engine:
    """Return an engine that computes with torch, by weights in int8."""
    return opened(model, "torch", replace(options, weights=options.weights or "int8"))
