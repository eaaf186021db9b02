"""Products of a few rows with a weight, in parts that several threads compute.

For few rows, MKL reads a weight with one thread. As a batch of products with parts of
the weight, all threads read, at twice the rate or so; the parts are views.
"""

import math
from typing import Any

import torch

PARTS = 8
"""Parts that a weight is read in; the more, the smaller each of them."""
MOST_ROWS = 16
"""Rows up to which parts are faster than a product at once."""


def put_in_parts(traced: Any) -> None:
    """Have a graph compute its products with whole weights in parts."""
    if not torch.backends.mkl.is_available():
        return
    linear = torch.ops.aten.linear.default
    for node in traced.graph.find_nodes(op="call_function", target=linear):
        x, weight, *_ = node.args
        if weight.op == "get_attr" and _fits(x, _attribute(traced, weight)):
            with traced.graph.inserting_before(node):
                _put(traced, node)


def _attribute(traced: Any, node: Any) -> Any:
    return getattr(traced, str(node.target))


def _fits(x: Any, weight: torch.Tensor) -> bool:
    shape = x.meta["val"].shape
    is_row = math.prod(shape[:-2]) == 1 and len(shape) > 1 and shape[-2] <= MOST_ROWS
    is_plain = weight.dtype == torch.float32 and weight.is_contiguous()
    return is_row and is_plain and len(weight) >= PARTS


def _put(traced: Any, node: Any) -> None:
    graph = traced.graph
    x, weight, *bias = node.args
    whole = _attribute(traced, weight).detach()
    width = whole.shape[1]
    rows = x.meta["val"].shape[-2]
    even = len(whole) // PARTS * PARTS
    name = f"{weight.target}_in_parts"
    parts = whole[:even].view(PARTS, even // PARTS, width).transpose(1, 2)
    traced.__dict__[name] = parts
    given = graph.call_method("expand", (x, PARTS, rows, width))
    made = graph.call_function(torch.bmm, (given, graph.create_node("get_attr", name)))
    if rows > 1:
        made = graph.call_method("transpose", (made, 0, 1))
    shape = (*node.meta["val"].shape[:-1], even)
    made = graph.call_method("reshape", (made, shape))
    if even < len(whole):
        traced.__dict__[f"{name}_rest"] = whole[even:]
        rest = graph.create_node("get_attr", f"{name}_rest")
        tail = graph.call_function(torch.nn.functional.linear, (x, rest))
        made = graph.call_function(torch.cat, ([made, tail], -1))
    if bias and bias[0] is not None:
        made = graph.call_function(torch.add, (made, bias[0]))
    node.replace_all_uses_with(made)
    graph.erase_node(node)
