"""An ONNX program, for ONNX Runtime in whatever language and on whatever device."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xturing.core.extras import require
from xturing.models.exporting.exporter import Reopened
from xturing.models.exporting.whole import write_companions

if TYPE_CHECKING:
    from xturing.models.base import BaseModel

FILE = "model.onnx"
WITHIN_ONE_FILE = 1_500_000_000
"""Bytes of weights; protobuf holds two gigabytes, and with more the weights are in a
file beside the program."""
README = """\
# A language model for ONNX Runtime

`model.onnx` reads `input_ids` and `position_ids` of shape (batch, seq),
`attention_mask` of shape (batch, past + seq), all int64, and for each layer N
`past_key_values.N.key` and `.value` of shape (batch, heads, past, size) in float32,
with past = 0 at first. It returns `logits` of shape (batch, seq, vocabulary), and
`present.N.key` and `.value`, which are the past of the next call. An answer ends with
any `eos_token_id` of generation_config.json.
"""


class Onnx:
    """`model.onnx`, the tokenizer, the configurations, and how to call it."""

    schemes: Sequence[str] = ()
    rounded: Sequence[str] = ()

    def write(self, model: "BaseModel", folder: Path, scheme: str | None) -> None:
        """Write the program and its companions.

        Raises:
            MissingDependencyError: onnx or onnxscript is not installed.
        """
        import torch

        from xturing.models.exporting.stepping import traced

        for library in ("onnx", "onnxscript"):
            require(library, package="xturing-models", extra="onnx")
        program = traced(model)
        made = torch.onnx.export(
            program.exported,
            dynamo=True,
            input_names=program.inputs,
            output_names=program.outputs,
            verbose=False,
            # ONNX Runtime does it too when it loads, and to the same speed.
            optimize=False,
        )
        is_large = model.engine.size_in_bytes > WITHIN_ONE_FILE
        made.save(folder / FILE, external_data=is_large)  # pyright: ignore[reportOptionalMemberAccess]  # dynamo returns one
        write_companions(model, folder)
        (folder / "README.md").write_text(README, encoding="utf-8")

    def reopen(self, folder: Path, model: "BaseModel") -> Reopened:
        """Return the program as ONNX Runtime computes it.

        Raises:
            MissingDependencyError: ONNX Runtime is not installed.
        """
        from transformers import AutoTokenizer

        from xturing.models.exporting.stepping import STEP, Stepped

        session = _Session(folder / FILE)
        past = {
            name: (shape[1], shape[3])
            for name, shape in session.shapes.items()
            if name not in STEP
        }
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return Reopened(Stepped(session, list(past), list(past.values())), tokenizer)


class _Session:
    def __init__(self, file: Path) -> None:
        runtime = require("onnxruntime", package="xturing-models", extra="onnx")
        self._session = runtime.InferenceSession(
            file, providers=["CPUExecutionProvider"]
        )
        self.shapes: dict[str, Any] = {
            each.name: each.shape for each in self._session.get_inputs()
        }
        self._outputs = [each.name for each in self._session.get_outputs()]

    def __call__(self, inputs: dict[str, Any]) -> dict[str, Any]:
        # A model without positions of its own has no such input.
        used = {name: inputs[name] for name in self.shapes}
        found = self._session.run(self._outputs, used)
        return dict(zip(self._outputs, found, strict=True))
