"""An OpenVINO program that keeps what is known of earlier tokens by itself.

The interface is the one of OpenVINO's own generation: `input_ids`, `attention_mask`,
`position_ids`, and `beam_idx` of shape (batch,), which says whose past each row goes on
with; `logits` come out.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xturing.models.exporting.exporter import Reopened
from xturing.models.exporting.whole import write_companions
from xturing.models.inference.openvino.library import core, openvino

if TYPE_CHECKING:
    from torch import Tensor

    from xturing.models.base import BaseModel
    from xturing.models.exporting.stepping import Program

FILE = "openvino_model.xml"
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
"""What has OpenVINO compute in float32 where it would be faster in less."""


class OpenVino:
    """`openvino_model.xml` and `.bin`, the tokenizer and the configurations."""

    schemes: Sequence[str] = ()
    rounded: Sequence[str] = ()

    def write(self, model: "BaseModel", folder: Path, scheme: str | None) -> None:
        """Write the program and its companions.

        Raises:
            MissingDependencyError: OpenVINO is not installed.
        """
        from xturing.models.exporting.stepping import traced

        library = openvino()
        program = traced(model)
        converted = _converted(program)
        _keep_past_inside(converted, program)
        library.save_model(converted, folder / FILE, compress_to_fp16=False)
        write_companions(model, folder)

    def reopen(self, folder: Path, model: "BaseModel") -> Reopened:
        """Return the program as OpenVINO computes it on the CPU.

        Raises:
            MissingDependencyError: OpenVINO is not installed.
        """
        from transformers import AutoTokenizer

        compiled = core().compile_model(folder / FILE, "CPU", EXACT)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return Reopened(_as_module(compiled), tokenizer)


def _converted(program: "Program") -> Any:
    """Return a traced model as OpenVINO's, its inputs and outputs named.

    `openvino.convert_model` does the same, and reports that it was used.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder
    from openvino.frontend.pytorch.torchdynamo.export_decompositions import (
        ops_to_not_decompose,
    )
    from torch.export.decomp_utils import CustomDecompTable

    table = CustomDecompTable()
    for operation in ops_to_not_decompose():
        # Newer versions of torch never decompose some of them.
        with suppress(KeyError):
            table.pop(operation)
    graph = program.exported.run_decompositions(table).module()
    decoder = TorchFXPythonDecoder(graph, dynamic_shapes=True)
    frontend = FrontEndManager().load_by_framework("pytorch")
    made = frontend.convert(frontend.load(decoder))
    for name, parameter in zip(program.inputs, made.get_parameters(), strict=True):
        parameter.output(0).get_tensor().set_names({name})
        parameter.set_friendly_name(name)
    for name, output in zip(program.outputs, made.outputs, strict=True):
        output.get_tensor().set_names({name})
    return made


def _keep_past_inside(made: Any, program: "Program") -> None:
    """Turn the past from inputs and outputs into variables of the program."""
    from openvino import PartialShape, Type, opset13
    from openvino._offline_transformations import apply_make_stateful_transformation

    beams = opset13.parameter([-1], Type.i32, name="beam_idx")
    beams.output(0).get_tensor().set_names({"beam_idx"})
    made.add_parameters([beams])
    ids, _, _, *past = made.get_parameters()[: len(program.inputs)]
    for parameter, (heads, size) in zip(past, program.sizes, strict=True):
        parameter.set_partial_shape(PartialShape([-1, heads, -1, size]))
        readers = parameter.output(0).get_target_inputs()
        chosen = opset13.gather(parameter, beams, opset13.constant(np.int64(0)))
        for reader in readers:
            reader.replace_source_output(chosen.output(0))
    made.validate_nodes_and_infer_types()
    pairs = dict(zip(program.past, program.present, strict=True))
    apply_make_stateful_transformation(made, pairs)
    _start_empty(made, ids)


def _start_empty(made: Any, ids: Any) -> None:
    """Have each variable begin with as many rows as there are, and no tokens."""
    from openvino import opset13

    first = opset13.constant(np.int64(0))
    rows = opset13.gather(
        opset13.shape_of(ids, output_type="i64"), opset13.constant([0]), first
    )
    for operation in made.get_ops():
        if operation.get_type_name() != "ReadValue":
            continue
        shape = operation.get_output_partial_shape(0)
        heads, size = (shape[axis].get_length() for axis in (1, 3))
        sizes = opset13.constant(np.array([heads, 0, size], dtype=np.int64))
        empty = opset13.broadcast(
            opset13.constant(np.float32(0)), opset13.concat([rows, sizes], axis=0)
        )
        operation.set_arguments([empty])
    made.validate_nodes_and_infer_types()


def _as_module(compiled: Any) -> Any:
    """Return a compiled program as a torch module that reads rows in two steps."""
    import torch
    from torch import nn

    from xturing.models.exporting.stepping import step_inputs

    class Stateful(nn.Module):
        def forward(self, ids: "Tensor") -> "Tensor":
            row = ids.cpu().numpy()
            request = compiled.create_infer_request()
            known = {name for each in compiled.inputs for name in each.get_names()}
            logits, cut = [], row.shape[1] // 2
            for begin, end in ((0, cut), (cut, row.shape[1])):
                inputs = step_inputs(row[:, begin:end], begin)
                inputs["beam_idx"] = np.arange(len(row), dtype=np.int32)
                used = {name: inputs[name] for name in inputs if name in known}
                logits.append(request.infer(used)["logits"].copy())
            return torch.from_numpy(np.concatenate(logits, axis=1))

    return Stateful()
