"""Traced models as graphs of OpenVINO, and their attention over blocks of a cache."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from xturing.models.inference.openvino.library import openvino, unfit
from xturing.models.inference.openvino.tracing import Attention, Traced

BLOCK = 32
"""Tokens of a block; the CPU plugin has no other size."""
GIVEN = ("input_ids", "position_ids", "wanted")
TABLES = ("past_lens", "subsequence_begins", "block_indices", "block_indices_begins")
LONGEST = "max_context_len"


def graph(traced: Traced, name: str) -> Any:
    """Return a traced model as a graph of ordinary operators.

    Not by `openvino.convert_model`, which would tell of it over the network.

    Raises:
        ModelError: OpenVINO lacks an operator that the model has, or texts would change
            what comes after them.
    """
    openvino()
    from openvino.frontend import FrontEndManager, OpConversionFailure
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    decoder = TorchFXPythonDecoder(_decomposed(traced, name), dynamic_shapes=True)
    frontend = FrontEndManager().load_by_framework("pytorch")
    try:
        made = frontend.convert(frontend.load(decoder))
    except OpConversionFailure as error:
        reason = str(error).strip().rpartition("\n")[2].strip("- ")
        raise unfit(name, f"OpenVINO cannot convert it ({reason})") from error
    attended = [f"attended.{number}" for number in range(len(traced.layers))]
    for parameter, own in zip(made.get_parameters(), [*GIVEN, *attended], strict=True):
        _name(parameter, own)
    return made


def _decomposed(traced: Traced, name: str) -> Any:
    """Return a traced model made of the operations that OpenVINO knows."""
    from openvino.frontend.pytorch.torchdynamo.export_decompositions import (
        ops_to_not_decompose,
    )
    from torch.export.decomp_utils import CustomDecompTable

    table = CustomDecompTable()
    for known in ops_to_not_decompose():
        # Some of them torch would not decompose either.
        with suppress(KeyError):
            table.pop(known)
    program = traced.program.run_decompositions(table)
    if program.graph_signature.buffers_to_mutate:
        raise unfit(name, "it carries numbers from one text to the next")
    return program.module()


def with_attention(made: Any, layers: Sequence[Attention]) -> Any:
    """Return the graph with the attention in it that it leaves out.

    The new one has a cache of keys and one of values as inputs for each layer, and the
    tables that say which blocks are whose; its output are the logits.
    """
    ov = openvino()
    inputs = {node.get_friendly_name(): node for node in made.get_parameters()}
    logits, *asked = made.get_results()
    tables = {name: _input(name, [-1], ov.Type.i32) for name in TABLES}
    tables[LONGEST] = _input(LONGEST, [], ov.Type.i32)
    caches: list[Any] = []
    for number, attention in enumerate(layers):
        own = [
            _input(f"{kind}_cache.{number}", [-1] * 4, ov.Type.dynamic)
            for kind in ("key", "value")
        ]
        given = [
            result.input(0).get_source_output()
            for result in asked[3 * number : 3 * number + 3]
        ]
        node = _attention(attention, [*given, *_outputs(own)], tables)
        _replace(inputs[f"attended.{number}"], node, inputs["input_ids"])
        caches += own
    kept = [inputs[name] for name in GIVEN]
    return ov.Model([logits], [*kept, *tables.values(), *caches], made.get_name())


def _attention(attention: Attention, given: list[Any], tables: dict[str, Any]) -> Any:
    none, nothing = _empty(np.int32), _empty(np.float32)
    node = openvino().op._PagedAttentionExtension(  # noqa: SLF001  # no other way
        [
            *given,
            *_outputs(tables[name] for name in TABLES),
            _constant(attention.scale, np.float32),
            _constant(attention.window, np.int32),
            nothing,  # slopes of ALiBi
            tables[LONGEST].output(0),
            none,  # window that scores are summed over: no scores are
            none,  # which blocks' keys are rotated
            none,  # by how much
            nothing,  # by which table
            nothing,  # thresholds of sparse attention
            _constant(0, np.int32),  # its block size
            _constant(0, np.int32),  # its stride
            nothing,  # sinks
            _constant(0, np.int32),  # start of an adaptive eviction
            none,  # its sizes
            none,  # blocks to evict
            none,  # where their list begins
            none,  # types of tokens
            _empty(np.uint8),
            none,
        ]
    )
    information = node.get_rt_info()
    information["num_k_heads"] = information["num_v_heads"] = attention.kv_heads
    information["k_head_size"] = attention.key_size
    information["v_head_size"] = attention.value_size
    return node


def _replace(attended: Any, node: Any, ids: Any) -> None:
    """Have everything read from a node what it read from an input.

    The number of tokens is taken from their ids: it is needed before attention.
    """
    for reader in list(attended.output(0).get_target_inputs()):
        measures = reader.get_node().get_type_name() == "ShapeOf"
        reader.replace_source_output((ids if measures else node).output(0))


def _input(name: str, shape: list[int], kind: Any) -> Any:
    ov = openvino()
    made = ov.opset13.parameter(ov.PartialShape(shape), kind)
    _name(made, name)
    return made


def _name(parameter: Any, name: str) -> None:
    parameter.set_friendly_name(name)
    parameter.output(0).get_tensor().set_names({name})


def _outputs(nodes: Any) -> list[Any]:
    return [node.output(0) for node in nodes]


def _constant(value: float, kind: type) -> Any:
    return openvino().opset13.constant(np.array(value, dtype=kind)).output(0)


def _empty(kind: type) -> Any:
    return openvino().opset13.constant(np.zeros(0, dtype=kind)).output(0)
