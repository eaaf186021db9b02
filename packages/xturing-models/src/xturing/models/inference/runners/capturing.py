"""A model's forward pass over a few tokens, taken down as a flat list of torch calls.

What is left out is all that decides: modules, settings, hooks. That is most of the time
that small products need. Attention stays the call it was, as it looks at caches that
grow. A model whose way depends on what the tokens are cannot be taken down.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from xturing.models.inference.runners.attending import noting, repeated
from xturing.models.inference.runners.products import put_in_parts

aten = torch.ops.aten


def captured(model: Any, rows: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function of ids and positions, both of shape (1, rows).

    It returns logits of shape (1, rows, vocabulary), reads the model's own weights, and
    needs `attending.spans_are`.

    Raises:
        Exception: torch cannot take it down; what it raises has no common type.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    def forward(ids: Tensor, positions: Tensor) -> Tensor:
        return model(input_ids=ids, position_ids=positions, use_cache=False).logits

    # Not one tensor for both: the graph would not tell them apart.
    example = (torch.zeros(1, rows).long(), torch.zeros(1, rows).long())
    # Shapes alone are computed, so that asking for a value is an error.
    trace = make_fx(
        forward, tracing_mode="fake", _allow_non_fake_inputs=True, pre_dispatch=True
    )
    with noting(model) as calls, torch.no_grad():
        traced: Any = trace(*example)
    _drop_idle(traced.graph)
    put_in_parts(traced)
    for node in traced.graph.find_nodes(op="call_function", target=calls.operator):
        _attend_again(traced, node, calls.noted[node.args[3]])
    for node in traced.graph.nodes:
        node.target = _light(node.target)
    _unregister(traced)
    traced.recompile()
    return traced.forward


def _drop_idle(graph: Any) -> None:
    """Take out what changes nothing."""
    for node in list(graph.nodes):
        if node.target is torch._C._set_grad_enabled:  # noqa: SLF001  # no other name
            graph.erase_node(node)
        elif getattr(node.target, "overloadpacket", None) is aten.to and _is_idle(node):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    graph.eliminate_dead_code()


def _is_idle(node: Any) -> bool:
    given, made = (each.meta["val"] for each in (node.args[0], node))
    is_copy = True in node.args or not node.kwargs.keys().isdisjoint(
        ("copy", "memory_format")
    )
    return not is_copy and (given.dtype, given.device) == (made.dtype, made.device)


def _attend_again(traced: Any, node: Any, call: Any) -> None:
    """Call what attends, not the operator that stood for it."""
    name = f"attention_{node.args[3]}"
    setattr(traced, name, partial(repeated, call))
    with traced.graph.inserting_before(node):
        made = traced.graph.create_node("call_module", name, node.args[:3])
    node.replace_all_uses_with(made)
    traced.graph.erase_node(node)


def _light(target: Any) -> Any:
    """Return torch's own function for an operator: it takes half the time to call."""
    if not isinstance(target, torch._ops.OpOverload):  # noqa: SLF001  # no other name
        return target
    name = target._schema.name.removeprefix("aten::")  # noqa: SLF001  # no other way
    # It takes other things than the operator does.
    if name == "to":
        return target
    functional: Any = getattr(torch._C, "_nn")  # noqa: B009, SLF001  # untyped
    for place in (torch, functional, torch.Tensor):
        if hasattr(place, name):
            return getattr(place, name)
    return target


def _unregister(traced: Any) -> None:
    """Keep weights as plain attributes, which are found faster than parameters."""
    for name, weight in [
        *traced.named_parameters(recurse=False),
        *traced.named_buffers(recurse=False),
    ]:
        delattr(traced, name)
        traced.__dict__[name] = weight.detach()
