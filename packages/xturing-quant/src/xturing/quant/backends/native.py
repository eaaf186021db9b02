"""Our own backend: plain PyTorch, every scheme, every device, every shape."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from xturing.core.errors import QuantizationError
from xturing.quant import calibration, layers
from xturing.quant.backend import Work
from xturing.quant.plan import Target
from xturing.quant.schemes import Scheme


class Native:
    """Packed buffers, torch's own CPU kernels, and a backward that dequantizes."""

    name = "native"

    def refusal(self, scheme: Scheme, device: torch.device) -> str | None:
        """Return None: there is nothing it cannot do."""
        return None

    def quantize(self, work: Work) -> nn.Module:
        """Pack the targets' weights in place."""
        linear = {
            target.name: target.module
            for target in work.targets
            if target.kind in ("linear", "head") and work.rows is not None
        }
        by_name = {target.name: target for target in work.targets}
        for portion in calibration.in_portions(linear):
            moments = calibration.second_moments(work.model, portion, work.rows or ())
            for name in portion:
                self._pack(by_name[name], work, moments[name])
        for target in work.targets:
            if target.name not in linear:
                self._pack(target, work, None)
        return work.model

    def _pack(self, target: Target, work: Work, moment: Tensor | None) -> None:
        weight = target.weight
        scheme, size = work.fitting(target)
        packed = layers.prepare(target.module, target.parameter, scheme, size)
        packed.fill(weight, moment)

    def holds(self, module: nn.Module) -> bool:
        """Tell whether a module has packed weights."""
        return isinstance(module, layers.Quantized)

    def dequantize(self, module: nn.Module) -> nn.Module:
        """Give a module its dense weights back, in place."""
        layers.restore(module)
        return module

    def tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """Return codes and scales, by `<parameter>.codes` and `<parameter>.scales`."""
        return {
            f"{name}.{part}": tensor
            for name, packed in layers.packed_weights(module).items()
            for part, tensor in packed.state_dict().items()
        }

    def rebuild(
        self,
        target: Target,
        scheme: Scheme,
        group_size: int | None,
        tensors: Mapping[str, Tensor],
    ) -> nn.Module:
        """Pack a module's weight in place, from what `tensors` gave."""
        module, name = target.module, target.parameter
        packed = layers.prepare(module, name, scheme, group_size)
        for part in ("codes", "scales"):
            given, wanted = tensors[f"{name}.{part}"], getattr(packed, part)
            if given.shape != wanted.shape or given.dtype != wanted.dtype:
                raise QuantizationError(
                    f"'{target.name}' has {part} of {tuple(given.shape)} "
                    f"{given.dtype}; {scheme.name} needs {tuple(wanted.shape)} "
                    f"{wanted.dtype} for this model."
                )
            setattr(packed, part, given)
        packed.settle()
        return module


BACKEND = Native()
