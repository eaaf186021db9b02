"""Which backend is taken when none is named, and why."""

from dataclasses import dataclass

import torch

from xturing.core.errors import QuantizationError
from xturing.quant.backend import BACKENDS, Backend
from xturing.quant.schemes import Scheme

# Measured on CPUs by `tools/bench/quant.py`, and on GPUs taken from what the libraries
# are made for. A scheme's fidelity is the same wherever it is kept, so speed decides.
ON_CPU = "its packed kernels decode fastest on CPUs, and it trains"
ON_GPU = "it has fused GPU kernels and trains"
ELSEWHERE = "it works on every device, for every module and setting"


@dataclass(frozen=True)
class Choice:
    """A backend, and why it was taken."""

    backend: Backend
    reason: str


def choose(
    name: str, scheme: Scheme, device: torch.device, *, is_plain: bool = True
) -> Choice:
    """Return the backend to keep a scheme's weights in on a device.

    `is_plain` tells that there are only linear layers, no group size was asked for, and
    nothing is calibrated.

    Raises:
        UnknownNameError: there is no backend of that name.
        QuantizationError: it cannot do that; the message lists those that can, and why
            the others cannot.
    """
    if name != "auto":
        backend = BACKENDS[name]
        reason = backend.refusal(scheme, device)
        if reason is None:
            return Choice(backend, "it was asked for")
        raise QuantizationError(
            f"The backend '{name}' cannot keep {scheme.name} weights on {device.type}: "
            f"{reason}. {_survey(scheme, device)}"
        )
    # It can keep every scheme everywhere.
    native = BACKENDS["native"]
    if device.type == "cpu":
        return Choice(native, ON_CPU)
    fused = BACKENDS["bitsandbytes"]
    if is_plain and fused.refusal(scheme, device) is None:
        return Choice(fused, ON_GPU)
    return Choice(native, ELSEWHERE)


def _survey(scheme: Scheme, device: torch.device) -> str:
    refusals = {name: BACKENDS[name].refusal(scheme, device) for name in BACKENDS}
    able = [name for name, refusal in refusals.items() if refusal is None]
    unable = [f"{name}: {why}" for name, why in refusals.items() if why is not None]
    can = f"These can: {', '.join(able)}. " if able else ""
    return f"{can}These cannot: {'; '.join(unable)}."
