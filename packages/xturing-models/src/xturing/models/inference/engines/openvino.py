"""The engine of OpenVINO: nearly every architecture on a processor, compiled.

Weights are rounded to int8 rows unless `weights` is "none"; activations and caches stay
in full precision. The model is converted once, and kept by what is in it. Adapters are
merged into it.
"""

from typing import TYPE_CHECKING

from xturing.core.errors import SettingsError
from xturing.models.inference.batching import BatchingEngine, Parts
from xturing.models.inference.engine import Capabilities, EngineOptions
from xturing.models.inference.shared import bytes_per_token, end_ids, schemas

if TYPE_CHECKING:
    from xturing.models.base import BaseModel


def open_engine(model: "BaseModel", options: EngineOptions) -> BatchingEngine:
    """Return an engine that computes with OpenVINO.

    Raises:
        MissingDependencyError: it is not installed.
        ModelError: it cannot do with the architecture.
        SettingsError: adapters are to be served beside each other.
    """
    from xturing.models.inference.runners.openvino import open_runner

    if options.adapters:
        raise SettingsError(
            "The engine 'openvino' has adapters merged into the weights, so that it "
            "serves one model. Use the engine 'native' or 'torch' for several adapters."
        )
    checkpoint = model.engine
    runner = open_runner(model, options)
    ends = end_ids(checkpoint.tokenizer)
    parts = Parts(
        name="openvino",
        runner=runner,
        tokenizer=checkpoint.tokenizer,
        ends=ends,
        bytes_per_token=bytes_per_token(checkpoint),
        capabilities=Capabilities(json_schema=True),
        schemas=schemas(checkpoint.tokenizer, runner.vocabulary, ends),
    )
    return BatchingEngine(parts, options)
