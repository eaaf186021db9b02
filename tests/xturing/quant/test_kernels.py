import copy
import pickle
import subprocess
import sys
import textwrap

import pytest
import torch

from xturing.quant.kernels import Blocks, agrees, int4_packed
from xturing.quant.packed import Packed
from xturing.quant.schemes import SCHEMES

ROWS = (0, 1, 2, 3, 7, 16, 33, 64, 65)
SHAPES = (
    *((1, 32), (16, 64), (7, 13), (48, 40), (33, 32), (80, 96), (64, 160)),
    *((96, 256), (112, 64), (3, 512), (128, 576)),
)


def packed(scheme: str, shape: tuple[int, int], group: int | None = None) -> Packed:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    made = Packed(SCHEMES[scheme], shape, group)
    made.fill(weight)
    return made


@pytest.mark.parametrize("scheme", ["int8", "int4"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_product_is_that_of_the_dequantized_weight(scheme, shape):
    weight = packed(scheme, shape)
    for rows in ROWS:
        x = torch.randn(rows, shape[1], generator=torch.Generator().manual_seed(rows))
        wanted = x @ weight.dequantize().T
        torch.testing.assert_close(weight.product(x), wanted)
        with torch.no_grad():
            fast = weight.product(x)
        assert fast.shape == wanted.shape
        assert not rows or agrees(fast, wanted)


@pytest.mark.parametrize("group", [32, 64, 128, 256])
def test_every_group_size_of_the_int4_kernel_gives_the_right_product(group):
    weight = packed("int4", (64, 512), group)
    x = torch.randn(5, 512, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert agrees(weight.product(x), x @ weight.dequantize().T)


def test_the_kernels_are_used_where_they_fit():
    assert packed("int8", (48, 64))._fused
    assert not packed("int8", (48, 40))._fused


def test_a_kernel_goes_where_its_weight_goes():
    weight = packed("int8", (48, 64))
    x = torch.ones(1, 64)
    wanted = x @ weight.dequantize().T
    for copied in (copy.deepcopy(weight), pickle.loads(pickle.dumps(weight))):
        weight.codes.zero_()
        with torch.no_grad():
            assert agrees(copied.product(x), wanted)
        weight = copied


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_a_cast_weight_is_still_multiplied_by_the_kernel(scheme):
    weight = packed(scheme, (48, 64))
    assert weight.bfloat16()._fused
    assert weight.to("meta")._fused is None


@pytest.mark.parametrize("rows", [16, 32, 48, 64, 80, 96, 112, 128, 144, 192])
def test_codes_that_a_kernel_packed_unpack_to_themselves_in_parts_too(rows):
    codes = torch.randint(0, 16, (rows, 64), dtype=torch.uint8)
    found = int4_packed(codes, 32)
    if found is None:
        pytest.skip("this processor's int4 layout is not one that is known")
    there, layout = found
    assert torch.equal(layout.unpack(there, 0, rows), codes)
    for start in range(0, rows, 64):
        stop = min(start + 64, rows)
        assert torch.equal(layout.unpack(there, start, stop), codes[start:stop])


def test_a_layout_is_not_taken_for_another():
    codes = torch.randint(0, 16, (64, 32), dtype=torch.uint8)
    found = int4_packed(codes, 32)
    if found is None:
        pytest.skip("this processor's int4 layout is not one that is known")
    there, layout = found
    others = [Blocks(size) for size in (64, 32, 16) if Blocks(size) != layout]
    assert not any(torch.equal(other.unpack(there, 0, 64), codes) for other in others)


def test_tensors_that_begin_anywhere_do_not_end_the_process(tmp_path):
    code = textwrap.dedent(
        f"""
        import torch
        from safetensors import safe_open
        from safetensors.torch import save_file
        from xturing.quant.kernels import agrees
        from xturing.quant.packed import Packed
        from xturing.quant.schemes import SCHEMES

        def moved(tensor, offset):
            size = tensor.element_size()
            buffer = torch.empty(tensor.numel() + 64 + offset, dtype=tensor.dtype)
            view = buffer[offset : offset + tensor.numel()].view(tensor.shape)
            view.copy_(tensor)
            return view

        torch.manual_seed(0)
        file = {str(tmp_path / "w.safetensors")!r}
        for scheme in ("int8", "int4"):
            for shape in ((16, 64), (80, 96), (48, 576)):
                first = Packed(SCHEMES[scheme], shape)
                first.fill(torch.randn(shape))
                state = first.state_dict()
                for offset in (1, 2, 3, 8, 16, 24, 32, 40):
                    for assign in (False, True):
                        again = Packed(SCHEMES[scheme], shape)
                        if not assign:
                            again.fill(torch.zeros(shape))
                        values = {{k: moved(v, offset) for k, v in state.items()}}
                        again.load_state_dict(values, assign=assign)
                        x = moved(torch.randn(3, shape[1]).bfloat16(), offset)
                        with torch.no_grad():
                            y = again.product(x)
                        assert agrees(y, x.float() @ first.dequantize().T)
                pad = torch.zeros(3, dtype=torch.uint8)
                save_file({{"a": pad, **state}}, file)
                with safe_open(file, framework="pt") as opened:
                    mapped = {{key: opened.get_tensor(key) for key in state}}
                again = Packed(SCHEMES[scheme], shape)
                again.load_state_dict(mapped, assign=True)
                x = torch.randn(3, shape[1])
                with torch.no_grad():
                    assert agrees(again.product(x), x @ first.dequantize().T)
        """
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
