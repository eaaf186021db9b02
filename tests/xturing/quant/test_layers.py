import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quant import (
    each_scheme,
    is_untouched,
    language_model,
    network,
    normal,
    relative,
    snapshot,
    token_rows,
)
from torch import nn
from torch.nn import functional

from xturing.quant import dequantize, load, quantize, save
from xturing.quant.layers import Quantized, packed_weights


def agree(quantized, x, tolerance=1e-4):
    """Tell whether a model computes what its dequantized form does, and gradients."""
    dense = dequantize(quantized)
    first, second = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, wanted = quantized(first), dense(second)
    if isinstance(found, tuple):
        found, wanted = found[0], wanted[0]
    found.square().sum().backward()
    wanted.square().sum().backward()
    return (
        relative(found, wanted) < tolerance
        and relative(first.grad, second.grad) < tolerance
    )


@each_scheme
@pytest.mark.parametrize(
    "shape", [(7, 13), (40, 48), (1, 5), (13, 1), (33, 96)], ids=str
)
def test_a_bare_layer_of_any_shape_is_a_model(scheme, shape):
    layer = nn.Linear(shape[1], shape[0])
    quantized = quantize(layer, scheme)
    assert isinstance(quantized, nn.Linear)
    assert type(layer) is nn.Linear
    for size in ((shape[1],), (1, shape[1]), (2, 3, shape[1]), (70, shape[1])):
        assert agree(quantized, normal(*size))
    assert quantized(torch.zeros(0, shape[1])).shape == (0, shape[0])


@each_scheme
def test_transposed_layers_as_gpt2_has_them(scheme):
    model = language_model("gpt2")
    quantized = quantize(model, scheme)
    layer = quantized.transformer.h[0].mlp.c_fc
    assert isinstance(layer, Quantized)
    assert layer.weight.shape == model.transformer.h[0].mlp.c_fc.weight.shape
    assert agree(layer, normal(3, 32))
    ids = token_rows(1)[0]
    assert relative(quantized(ids).logits, dequantize(quantized)(ids).logits) < 1e-4


@each_scheme
@pytest.mark.parametrize("architecture", ["mixtral", "gpt_oss"])
def test_experts_are_multiplied_one_by_one_and_never_kept_dense(scheme, architecture):
    quantized = quantize(language_model(architecture), scheme)
    dense = dequantize(quantized)
    # So few tokens that everything but a weight is small.
    ids = token_rows(1, 3)[0]
    outputs, gradients, kept = [], [], []
    for model in (dense, quantized):
        model.set_experts_implementation("eager")
        inputs = model.get_input_embeddings()(ids).detach().requires_grad_()
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, sizes=sizes: sizes.append(tensor.numel()) or tensor,
            lambda tensor: tensor,
        ):
            outputs.append(model(inputs_embeds=inputs).logits)
        outputs[-1].square().sum().backward()
        gradients.append(inputs.grad)
        kept.append(max(sizes))
    assert relative(*outputs) < 1e-3
    assert relative(*gradients) < 1e-3
    experts = [packed_weights(module) for module in quantized.modules()]
    one = min(
        packed.shape[1] * packed.shape[2]
        for weights in experts
        for packed in weights.values()
        if len(packed.shape) == 3
    )
    assert kept[0] >= one > kept[1]


def test_a_product_with_an_expert_keeps_only_its_input():
    experts = quantize(language_model("mixtral"), "int4").model.layers[0].mlp.experts
    kept = []
    x = normal(3, 32).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor
    ):
        y = functional.linear(x, experts.gate_up_proj[1])
    assert not kept
    wanted = functional.linear(x, experts.gate_up_proj[1].dequantize())
    torch.testing.assert_close(y, wanted)
    turned = torch.matmul(y.detach(), experts.gate_up_proj[1])
    torch.testing.assert_close(
        turned, y.detach() @ experts.gate_up_proj[1].dequantize()
    )


@each_scheme
def test_embeddings_are_quantized_when_they_are_not_skipped(scheme):
    model = language_model()
    quantized = quantize(model, scheme, skip=())
    embeddings = quantized.get_input_embeddings()
    assert isinstance(embeddings, Quantized)
    assert embeddings.packed_weight.scheme.bits == 8
    ids = token_rows(1)[0]
    dense = dequantize(quantized)
    assert torch.equal(embeddings(ids), dense.get_input_embeddings()(ids))
    assert relative(quantized(ids).logits, dense(ids).logits) < 1e-4


@each_scheme
def test_a_tied_head_is_packed_and_its_embeddings_stay(scheme, tmp_path):
    model = language_model("smollm2")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    before = snapshot(model)
    quantized = quantize(model, scheme)
    assert quantized.lm_head.packed_weight.scheme.bits == 8
    assert type(quantized.model.embed_tokens) is nn.Embedding
    assert is_untouched(model, before)
    save(quantized, tmp_path / "saved")
    ids = token_rows(1)[0]
    assert torch.equal(
        load(model, tmp_path / "saved")(ids).logits, quantized(ids).logits
    )


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


@each_scheme
@pytest.mark.parametrize("training", [True, False])
def test_attention_of_torch_that_reads_a_weight_by_itself(scheme, training):
    assert agree(quantize(Attention().train(training), scheme), normal(2, 5, 32))


def test_a_layer_that_does_more_than_multiply_goes_on_doing_so():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    layer = Doubled(32, 16)
    x = normal(3, 32)
    assert relative(quantize(layer, "int8")(x), layer(x)) < 0.02
    assert agree(quantize(layer, "int4"), x)


@each_scheme
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_casts_leave_codes_and_scales_exact(scheme, dtype):
    quantized = quantize(network(), scheme)
    before = snapshot(quantized)
    quantized.to(dtype)
    x = normal(3, 64).to(dtype)
    assert quantized(x).dtype == quantized[0].weight.dtype == dtype
    assert {p.dtype for p in dequantize(quantized).parameters()} == {dtype}
    quantized.half().float()
    after = quantized.state_dict()
    packed = [name for name in before if ".packed_" in name]
    assert len(packed) == 4
    assert all(torch.equal(after[name], before[name]) for name in packed)


@each_scheme
def test_copies_pickles_and_state_dicts_compute_the_same(scheme):
    quantized = quantize(network(), scheme)
    other = quantize(network(), scheme)
    for parameter in other.parameters():
        nn.init.zeros_(parameter.data)
    other[0].packed_weight.codes = torch.zeros_like(other[0].packed_weight.codes)
    other.load_state_dict(quantized.state_dict())
    x = normal(3, 64)
    copies = copy.deepcopy(quantized), pickle.loads(pickle.dumps(quantized)), other
    for each in copies:
        assert torch.equal(each(x), quantized(x))
        with torch.no_grad():
            assert torch.equal(each(x), quantized(x))


@each_scheme
def test_the_state_dict_does_not_depend_on_the_order_in_memory(scheme):
    quantized = quantize(network(128), scheme)
    before = snapshot(quantized)
    again = quantize(network(128), scheme)
    again.load_state_dict(before)
    with torch.no_grad():
        again(normal(2, 128))
    assert is_untouched(again, before)
    bits = quantized[0].packed_weight.scheme.bits
    assert before["0.packed_weight.codes"].shape == (48, 128 * bits // 8)


@pytest.mark.parametrize(
    ("asked", "got"), [(16, 16), (64, 48), (20, 16), (7, 48), (1, 1), (None, 24)]
)
def test_a_group_size_that_does_not_divide_becomes_one_that_does(asked, got):
    layer = quantize(nn.Linear(48, 8), "int4", group_size=asked)
    found = layer.packed_weight.group_size
    assert found == got
    assert agree(layer, normal(3, 48))


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(["int8", "int4", "nf4", "int3", "int1"]),
    st.integers(1, 40),
    st.integers(1, 80),
    st.integers(0, 70),
    st.booleans(),
)
def test_any_layer_agrees_with_its_dequantized_form(scheme, out, width, rows, bias):
    layer = quantize(nn.Linear(width, out, bias=bias), scheme)
    x = normal(rows, width)
    torch.testing.assert_close(layer(x), dequantize(layer)(x), rtol=1e-4, atol=1e-5)


def test_hooks_and_names_of_a_layer_stay():
    model = network()
    seen = []
    model[0].register_forward_hook(lambda *_: seen.append(1))
    quantized = quantize(model, "int8")
    quantized(normal(2, 64))
    assert seen == [1]
    assert [name for name, _ in quantized.named_children()] == ["0", "1", "2"]
    assert "Quantized" in type(quantized[0]).__name__
    assert type(dequantize(quantized)[0]) is nn.Linear
