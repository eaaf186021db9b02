"""Weight-only quantization of torch modules: quantize, train on top, save, prove."""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.quant.backend import BACKENDS, Backend
    from xturing.quant.fidelity import Fidelity, LayerFidelity, report
    from xturing.quant.files import load, save
    from xturing.quant.quantizing import Recipe, dequantize, quantize
    from xturing.quant.schemes import SCHEMES, Scheme

__all__ = [
    "BACKENDS",
    "SCHEMES",
    "Backend",
    "Fidelity",
    "LayerFidelity",
    "Recipe",
    "Scheme",
    "dequantize",
    "load",
    "quantize",
    "report",
    "save",
]

__getattr__ = exports(
    __name__,
    BACKENDS="backend",
    SCHEMES="schemes",
    Backend="backend",
    Fidelity="fidelity",
    LayerFidelity="fidelity",
    Recipe="quantizing",
    Scheme="schemes",
    dequantize="quantizing",
    load="files",
    quantize="quantizing",
    report="fidelity",
    save="files",
)
