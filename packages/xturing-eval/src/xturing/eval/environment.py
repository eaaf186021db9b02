"""What an evaluation was computed with, as far as numbers may depend on it."""

import os
import platform
from importlib.metadata import version

from xturing.models.base import BaseModel

LIBRARIES = ("xturing-eval", "xturing-models", "torch", "transformers", "tokenizers")


def environment(model: BaseModel) -> dict[str, str]:
    """Return versions, the device and how it computes; nothing that time changes."""
    import torch

    device = model.engine.device
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **{name: version(name) for name in LIBRARIES},
        "device": device.name,
        "number format": str(device.dtype).removeprefix("torch."),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "cores": str(os.cpu_count()),
    }
