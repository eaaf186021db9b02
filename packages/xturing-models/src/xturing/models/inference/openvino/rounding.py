"""Weights of a graph in eight bits: the same products, a quarter of the bytes to read.

Activations stay in single precision. Embeddings are looked up, not multiplied, and stay
whole, even those that a head multiplies by as well.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xturing.models.inference.openvino.library import openvino

LARGEST = 127
SMALLEST_SCALE = 1e-12


def round_weights(graph: Any) -> None:
    """Round the weights of a graph's products to int8, a scale for each output."""
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        source = node.input(1).get_source_output().get_node()
        if source.get_type_name() == "Constant" and len(source.shape) == 2:
            _round(node, np.asarray(source.data, dtype=np.float32))


def rounded(weight: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return int8 codes of a weight, and their scales.

    The weight has the shape (outputs, inputs), the scales (outputs, 1). Code times
    scale is within half a scale of the weight.
    """
    scales = np.abs(weight).max(axis=1, keepdims=True) / LARGEST
    scales = np.maximum(scales, SMALLEST_SCALE).astype(np.float32)
    codes = np.clip(np.rint(weight / scales), -LARGEST, LARGEST)
    return codes.astype(np.int8), scales


def _round(node: Any, weight: NDArray[Any]) -> None:
    ops = openvino().opset13
    options = node.get_attributes()
    codes, scales = rounded(weight if options["transpose_b"] else weight.T)
    dense = ops.multiply(ops.convert(ops.constant(codes), "f32"), ops.constant(scales))
    left = node.input(0).get_source_output()
    product = ops.matmul(left, dense, options["transpose_a"], True)
    product.set_friendly_name(node.get_friendly_name())
    node.output(0).replace(product.output(0))
