"""Where to compute and in what number format, with the reason."""

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Device:
    """A device of this machine."""

    name: str
    """As torch writes it: cpu, cuda or mps."""
    dtype: "torch.dtype"
    """The number format for weights that are not trained."""
    reason: str


@cache
def default_device() -> Device:
    """Return the best device here."""
    import torch

    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported():
            return Device("cuda", torch.bfloat16, "a GPU that computes in bfloat16")
        return Device("cuda", torch.float32, "a GPU without bfloat16")
    if torch.backends.mps.is_available():
        return Device("mps", torch.float32, "Apple's GPU; float32 is safest there")
    return Device("cpu", torch.float32, "no GPU was found; float32 is fastest on CPUs")


def cpu_traits() -> dict[str, str]:
    """Return what this machine's processor offers, in words."""
    import torch

    traits = {
        "cores": str(os.cpu_count()),
        "threads of torch": str(torch.get_num_threads()),
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        traits["memory"] = f"{memory / 1e9:.1f} GB"
    return traits
