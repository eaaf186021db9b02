"""The gptq backend: optimum's GPTQ over gptqmodel, its weights kept as native ones.

The libraries are needed while calibrating and never again: the codes and scales that
they find are packed by the native backend, which trains, saves and decodes them.
"""

import importlib
import io
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from xturing.core.errors import QuantizationError
from xturing.core.extras import require
from xturing.quant import layers
from xturing.quant.backend import Work, missing
from xturing.quant.backends.native import Native
from xturing.quant.calibration import Rows
from xturing.quant.plan import Target, targets
from xturing.quant.schemes import Scheme

GROUP = 32
DAMPING = 0.05
DIVISOR = 32
"""What gptqmodel's packing needs the sizes of a layer to be multiples of."""
BATCH = 8
# Layers that are given the same inputs, of the architectures that call them so; with
# these, a block is passed four times instead of once for each layer.
STAGES = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
HUB_VARIABLES = "HF_HOME", "HF_HUB_CACHE", "TRANSFORMERS_CACHE", "HF_MODULES_CACHE"
IN_BLOCK = re.compile(r"^.*?\.\d+\.(.+)$")


class GPTQ(Native):
    """Calibrated by optimum, kept as the native backend keeps weights."""

    name = "gptq"

    def refusal(self, scheme: Scheme, device: torch.device) -> str | None:
        """Return why it cannot keep weights in a scheme on a device, if it cannot."""
        if scheme.name not in ("int4", "int8"):
            return "it has int4 and int8 only"
        for library in ("optimum", "gptqmodel"):
            if find_spec(library) is None:
                return missing(library, found=False, extra="gptq")
        return None

    def quantize(self, work: Work) -> nn.Module:
        """Return the model with weights that GPTQ rounded.

        Raises:
            QuantizationError: there are no rows, the model is none of transformers, or
                a layer's size is not divisible.
        """
        group_size = work.group_size or GROUP
        _refuse(work, group_size)
        in_blocks = [target for target in work.targets if target.kind == "linear"]
        # optimum writes into the weights of a block, be they skipped or not, and these
        # are shared with the original.
        shared = {
            target: target.weight
            for target in targets(work.model, ())
            if target.kind == "linear"
        }
        for target, weight in shared.items():
            target.module.weight = nn.Parameter(weight.detach().clone())
        found = _calibrated(work, in_blocks, group_size)
        for target, weight in shared.items():
            target.module.weight = weight
            work.model.set_submodule(target.name, target.module)
        for target in in_blocks:
            scheme = work.scheme
            packed = layers.prepare(target.module, "weight", scheme, group_size)
            packed.take(*found[target.name])
        for target in work.targets:
            if target.kind != "linear":
                self._pack(target, work, None)
        return work.model


BACKEND = GPTQ()


def _refuse(work: Work, group_size: int) -> None:
    if not work.rows:
        raise QuantizationError(
            "The backend 'gptq' needs rows to calibrate on: pass calibration, a list "
            "of token ids of shape (1, seq). A hundred rows are plenty."
        )
    if not hasattr(work.model, "get_decoder"):
        raise QuantizationError(
            f"The backend 'gptq' needs a language model of transformers, not a "
            f"{type(work.model).__name__}. The native backend calibrates any module."
        )
    for target in work.targets:
        if target.kind != "linear":
            continue
        weight = target.weight
        odd = [size for size in weight.shape if size % DIVISOR]
        if (
            odd
            or weight.shape[1] % group_size
            or not isinstance(target.module, nn.Linear)
        ):
            raise QuantizationError(
                f"'{target.name}' is a {type(target.module).__name__} of shape "
                f"{tuple(weight.shape)}; gptq needs linear layers whose sizes divide "
                f"by {DIVISOR} and by the group size {group_size}. The native backend "
                "calibrates layers of any size."
            )


def _calibrated(
    work: Work, chosen: list[Target], group_size: int
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the codes and scales that optimum finds, by the layers' names."""
    _import_gptqmodel()
    library = require("optimum.gptq", package="xturing-quant", extra="gptq")
    quantizer = library.GPTQQuantizer(
        bits=work.scheme.bits,
        group_size=group_size,
        dataset=_batches(work.rows or ()),
        sym=work.scheme.is_symmetric,
        damp_percent=DAMPING,
        modules_in_block_to_quantize=_stages(chosen),
    )
    with _silently(), _environment(GPTQMODEL_DISABLE_PACK_EXT="1"):
        # It compiles an extension for packing otherwise, for a minute.
        quantizer.quantize_model(work.model, None)
    # Its marks are for weights that stay in gptqmodel's layers.
    for mark in ("is_quantized", "quantization_method"):
        vars(work.model).pop(mark, None)
    config: Any = work.model.config
    vars(config).pop("quantization_config", None)
    modules = dict(work.model.named_modules())
    return {target.name: _unpacked(modules[target.name], work) for target in chosen}


def _stages(chosen: list[Target]) -> list[list[str]]:
    names = {match[1] for t in chosen if (match := IN_BLOCK.match(t.name))}
    if names == {name for stage in STAGES for name in stage}:
        return [list(stage) for stage in STAGES]
    return [[name] for name in sorted(names)]


def _batches(rows: Rows) -> list[dict[str, Tensor]]:
    """Return rows of one length together, so that no padding is calibrated on."""
    lines = sorted((line for row in rows for line in row), key=len)
    batches: list[list[Tensor]] = []
    for line in lines:
        fits = batches and len(batches[-1]) < BATCH
        if fits and len(batches[-1][0]) == len(line):
            batches[-1].append(line)
        else:
            batches.append([line])
    return [
        {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        for ids in map(torch.stack, batches)
    ]


def _unpacked(module: Any, work: Work) -> tuple[Tensor, Tensor]:
    """Return a layer of gptqmodel as codes (out, in) and scales (groups, out, parts).

    Its zeros are those of the format's second version, without the offset of one.
    """
    bits = work.scheme.bits
    shift = torch.arange(0, 32, bits, dtype=torch.int32)
    mask = 2**bits - 1
    words, zeros, scales = module.qweight, module.qzeros, module.scales.float()
    codes = ((words[:, None] >> shift[:, None]) & mask).flatten(0, 1)
    offsets = ((zeros[..., None] >> shift) & mask).flatten(1)[:, : words.shape[1]]
    if work.scheme.is_symmetric:
        whole = codes - offsets.repeat_interleave(module.group_size, 0)
        return whole.T.to(torch.int8).contiguous(), scales[..., None].bfloat16()
    middle = (2 ** (bits - 1) - offsets) * scales
    both = torch.stack([scales, middle], -1).bfloat16()
    return codes.T.to(torch.uint8).contiguous(), both


def _import_gptqmodel() -> None:
    """Import gptqmodel without its banner, its root logger and its variables.

    It moves the hub's cache, so the libraries that read those variables come first.
    """
    if "gptqmodel" in sys.modules:
        return
    require("transformers.utils.hub", package="xturing-quant", extra="gptq")
    root, guard = logging.getLogger(), logging.NullHandler()
    # With a handler there, its `basicConfig` does nothing.
    root.addHandler(guard)
    try:
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
            kept = {name: os.environ.get(name, folder) for name in HUB_VARIABLES}
            with _environment(**kept):
                importlib.import_module("logbar").LogBar.shared().setLevel("ERROR")
                require("gptqmodel", package="xturing-quant", extra="gptq")
    finally:
        root.removeHandler(guard)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set variables, and put the whole environment back afterwards."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _silently() -> Iterator[None]:
    """Keep optimum's bars and lines off the terminal."""
    module = importlib.import_module("optimum.gptq.quantizer")
    bar, level = module.tqdm, module.logger.level
    vars(module)["tqdm"] = lambda items, **_: items
    module.logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        vars(module)["tqdm"] = bar
        module.logger.setLevel(level)
