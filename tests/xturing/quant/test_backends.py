"""What every backend owes its users, in every scheme that it has."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from quant import (
    each_pair,
    each_pair_in_any_precision,
    is_untouched,
    language_model,
    needs_gptq,
    normal,
    relative,
    snapshot,
    token_rows,
)
from torch import nn
from torch.nn import functional

from xturing.core.errors import QuantizationError, UnknownNameError
from xturing.quant import BACKENDS, SCHEMES, dequantize, load, quantize, report, save
from xturing.quant.quantizing import quantized_modules

LINEAR = "model.layers.0.mlp.down_proj"


def made(backend: str, scheme: str, architecture: str = "llama", **options: Any) -> Any:
    rows = token_rows() if backend == "gptq" else None
    model = language_model(architecture)
    return model, quantize(model, scheme, backend, calibration=rows, **options)


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    return model(input_ids=ids).logits


@each_pair
def test_normal_weights_lose_no_more_than_the_scheme_says(backend, scheme):
    model, quantized = made(backend, scheme)
    found = report(model, quantized, token_rows(1))
    assert len(found.layers) == 15
    # GPTQ gives up some of this for outputs that are nearer.
    slack = 6 if backend == "gptq" else 0
    least = min(layer.decibels for layer in found.layers)
    assert least >= SCHEMES[scheme].decibels - slack


@each_pair
def test_the_original_stays_as_it_was_bit_for_bit(backend, scheme):
    model = language_model()
    before = snapshot(model)
    rows = token_rows() if backend == "gptq" else None
    quantized = quantize(model, scheme, backend, calibration=rows)
    quantized.train()
    logits(quantized, token_rows(1)[0]).sum().backward()
    dequantize(quantized).half()
    quantized.to(torch.bfloat16)
    assert is_untouched(model, before)
    assert not model.training
    assert all(type(module).__name__ != "Quantized" for module in model.modules())


@each_pair
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_saved_after_any_forwards_it_reloads_to_the_same_logits(
    backend, scheme, mode, tmp_path
):
    model, quantized = made(backend, scheme)
    quantized.train(mode == "train")
    one, many = torch.tensor([[7]]), token_rows(1, 200)[0]
    for forwards in (0, 1, 3):
        for _ in range(forwards):
            logits(quantized, one)
            logits(quantized, many)
            with torch.no_grad():
                logits(quantized, one)
                logits(quantized, many)
        folder = tmp_path / str(forwards)
        save(quantized, folder)
        quantized.eval()
        again = load(model, folder).eval()
        with torch.no_grad():
            for ids in (one, many):
                assert torch.equal(logits(again, ids), logits(quantized, ids))
        quantized.train(mode == "train")


@each_pair
def test_what_is_saved_again_after_loading_is_the_same_file(backend, scheme, tmp_path):
    model, quantized = made(backend, scheme)
    save(quantized, tmp_path / "a")
    save(load(model, tmp_path / "a"), tmp_path / "b")
    for name in ("weights.safetensors", "quantization.json"):
        first, second = tmp_path / "a" / name, tmp_path / "b" / name
        assert first.read_bytes() == second.read_bytes()


@each_pair
@pytest.mark.parametrize("rows", [1, 200])
def test_the_gradient_is_that_through_the_dequantized_weight(backend, scheme, rows):
    _, quantized = made(backend, scheme)
    layer = quantized.get_submodule(LINEAR)
    dense = dequantize(quantized).get_submodule(LINEAR)
    with torch.no_grad():
        layer(normal(rows, 128))  # a validation pass before training
    layer.train()
    down, up = (normal(4, 128, seed=1) / 8).requires_grad_(), normal(64, 4, seed=2)
    up.requires_grad_()

    def gradients(each: nn.Module) -> tuple[torch.Tensor, ...]:
        x = normal(rows, 128, seed=3).requires_grad_()
        # An adapter in front and one beside, as LoRA has it.
        y = each(x + functional.linear(functional.linear(x, down), down.T))
        y = y + functional.linear(functional.linear(x, down), up)
        return torch.autograd.grad((y * normal(rows, 64, seed=4)).sum(), (x, down, up))

    for gradient, right in zip(gradients(layer), gradients(dense), strict=True):
        assert gradient.abs().sum() > 0
        assert relative(gradient, right) < 1e-3


@each_pair
@pytest.mark.filterwarnings("ignore:TorchaoLoraLinear was instantiated")
def test_a_peft_adapter_learns_on_top(backend, scheme):
    _, quantized = made(backend, scheme)
    for parameter in quantized.parameters():
        parameter.requires_grad_(False)
    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], lora_alpha=8)
    if backend in ("native", "gptq"):
        from xturing.models import lora

        lora.register_packed(config)
    adapted: Any = get_peft_model(quantized, config).eval()
    ids = token_rows(1)[0]
    with torch.no_grad():
        adapted(input_ids=ids)
    adapted.train()
    learnt = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    optimizer = torch.optim.Adam(learnt.values(), lr=1e-2)
    losses = []
    for _ in range(6):
        loss = adapted(input_ids=ids, labels=ids).loss
        loss.backward()
        ups = [p.grad for name, p in learnt.items() if "lora_B" in name]
        assert len(ups) == 4
        assert all(gradient.abs().sum() > 0 for gradient in ups)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_merging_an_adapter_into_packed_weights_is_refused():
    from xturing.core.errors import ModelError
    from xturing.models import lora

    _, quantized = made("native", "int4")
    config = LoraConfig(r=4, target_modules=["q_proj"])
    lora.register_packed(config)
    adapted: Any = get_peft_model(quantized, config)
    with pytest.raises(ModelError, match="round the adapter away"):
        adapted.merge_and_unload()


@each_pair
def test_the_dequantized_model_computes_what_the_quantized_one_does(backend, scheme):
    _, quantized = made(backend, scheme)
    dense = dequantize(quantized)
    ids = token_rows(1)[0]
    assert not quantized_modules(dense)
    # LLM.int8, which the head has in 4-bit models too, rounds activations.
    tolerance = 3e-2 if backend == "bitsandbytes" else 1e-4
    assert relative(logits(quantized, ids), logits(dense, ids)) < tolerance
    with torch.no_grad():
        # The fused kernels multiply in bfloat16.
        assert relative(logits(quantized, ids[:, :3]), logits(dense, ids[:, :3])) < 5e-2


@each_pair_in_any_precision
def test_a_model_in_bfloat16_stays_in_bfloat16(backend, scheme, tmp_path):
    model = language_model().bfloat16()
    quantized = quantize(model, scheme, backend)
    ids = token_rows(1)[0]
    with torch.no_grad():
        wanted = logits(quantized, ids)
    assert wanted.dtype == torch.bfloat16
    dense = dequantize(quantized)
    assert {p.dtype for p in dense.parameters()} == {torch.bfloat16}
    assert relative(logits(dense, ids), wanted) < 0.1
    save(quantized, tmp_path / "saved")
    again = load(language_model().bfloat16(), tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(logits(again, ids), wanted)
    assert {p.dtype for p in dequantize(again).parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("scheme", ["nf4", "fp4"])
def test_bitsandbytes_4_bit_layers_never_repack_themselves(scheme, tmp_path):
    """On CPUs with AVX512-BF16 they would: saved and trained after that, they break."""

    def layers(model: nn.Module) -> list[Any]:
        found = [
            module
            for module in model.modules()
            if hasattr(module, "support_avx512bf16_for_cpu")
        ]
        assert len(found) == 14
        return found

    model, quantized = made("bitsandbytes", scheme)
    before = {n: v.clone() for n, v in quantized.state_dict().items()}
    save(quantized, tmp_path / "saved")
    for each in (quantized, load(model, tmp_path / "saved")):
        assert not any(layer.support_avx512bf16_for_cpu for layer in layers(each))
        each.eval()
        with torch.no_grad():
            logits(each, token_rows(1)[0])
        assert not any(
            getattr(layer.weight.quant_state, "packing_format_for_cpu", False)
            for layer in layers(each)
        )
        after = each.state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("backend", ["bitsandbytes", "torchao"])
def test_a_layer_that_is_in_two_places_is_quantized_in_both(backend, tmp_path):
    layer = nn.Linear(64, 64)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    quantized = quantize(model, "int8", backend)
    assert quantized[0] is quantized[2] is not layer
    save(quantized, tmp_path / "saved")
    x = normal(2, 64)
    assert torch.equal(load(model, tmp_path / "saved")(x), quantized(x))


@pytest.mark.parametrize("backend", ["bitsandbytes", "torchao"])
def test_other_backends_refuse_what_only_the_native_one_can_do(backend):
    model = language_model("gpt2")
    with pytest.raises(QuantizationError, match="Conv1D.*Use the native backend"):
        quantize(model, "int8", backend)
    with pytest.raises(QuantizationError, match="cannot calibrate"):
        quantize(nn.Linear(64, 64), "int8", backend, calibration=[normal(2, 64)])


@pytest.mark.parametrize("scheme", ["nf4", "fp4"])
def test_bitsandbytes_refuses_the_rows_that_it_multiplies_wrongly(scheme):
    for width in (32, 96, 160):
        with pytest.raises(QuantizationError, match=f"has {width} inputs"):
            quantize(nn.Linear(width, 16), scheme, "bitsandbytes")


def test_bitsandbytes_has_group_sizes_of_its_own():
    with pytest.raises(QuantizationError, match="leave group_size out"):
        quantize(nn.Linear(64, 64), "nf4", "bitsandbytes", group_size=32)


@pytest.mark.parametrize(
    ("backend", "scheme", "why"),
    [
        ("bitsandbytes", "int4", "it has int8, nf4 and fp4 only"),
        ("torchao", "nf4", "only its int8 can be trained on"),
        ("gptq", "nf4", "it has int4 and int8 only"),
    ],
)
def test_a_refusal_lists_those_that_can_and_why_the_others_cannot(backend, scheme, why):
    with pytest.raises(QuantizationError) as caught:
        quantize(nn.Linear(8, 8), scheme, backend)
    message = str(caught.value)
    assert (
        f"The backend '{backend}' cannot keep {scheme} weights on cpu: {why}" in message
    )
    assert "These can: " in message
    assert all(name in message for name in BACKENDS)


@pytest.mark.parametrize(
    ("scheme", "backend", "answer"),
    [
        ("int44", "auto", "Did you mean 'int4'"),
        ("INT8", "native", "There are 'fp4', 'int1'"),
        ("int4", "natve", "Did you mean 'native'"),
    ],
)
def test_an_unknown_name_is_answered_with_known_ones(scheme, backend, answer):
    with pytest.raises(UnknownNameError, match=answer):
        quantize(nn.Linear(8, 8), scheme, backend)


@needs_gptq
@pytest.mark.parametrize("skip", ["*.0.*", "*.down_proj"])
def test_gptq_leaves_what_is_skipped_as_it_was(skip):
    model = language_model()
    before = snapshot(model)
    rows = token_rows()
    quantized = quantize(
        model, "int4", "gptq", skip=("embeddings", skip), calibration=rows
    )
    assert is_untouched(model, before)
    held = set(quantized_modules(quantized))
    for name, module in quantized.named_modules():
        if isinstance(module, nn.Linear) and name not in held:
            assert torch.equal(module.weight, model.get_submodule(name).weight)
    assert "model.layers.1.self_attn.q_proj" in held
    assert len(held) < 15


@needs_gptq
def test_gptq_says_what_it_cannot_do():
    with pytest.raises(QuantizationError, match="needs rows to calibrate on"):
        quantize(language_model(), "int4", "gptq")
    with pytest.raises(QuantizationError, match="not a Linear"):
        quantize(nn.Linear(64, 64), "int4", "gptq", calibration=[normal(1, 64)])
    with pytest.raises(QuantizationError, match="divide by 32 and by the group size"):
        quantize(language_model("pythia"), "int4", "gptq", calibration=token_rows())


def test_a_missing_library_is_named_with_its_pip_line(monkeypatch):
    from xturing.quant.backends import bitsandbytes

    monkeypatch.setattr(bitsandbytes, "find_spec", lambda _: None)
    with pytest.raises(QuantizationError, match=r"xturing-quant\[bitsandbytes\]"):
        quantize(nn.Linear(64, 64), "nf4", "bitsandbytes")
