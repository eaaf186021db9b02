import pytest
import torch
from quant import language_model, network, normal
from torch import nn

from xturing.core.errors import QuantizationError
from xturing.quant import dequantize, quantize
from xturing.quant.plan import targets
from xturing.quant.quantizing import quantized_modules, recipe_of
from xturing.quant.schemes import SCHEMES


def kinds(model, skip=()):
    return {target.kind for target in targets(model, skip)}


def test_every_kind_of_weight_is_found_and_can_be_skipped():
    model = language_model("mixtral")
    assert kinds(model) == {"linear", "experts", "embeddings", "head"}
    assert kinds(model, ("embeddings", "head")) == {"linear", "experts"}
    assert len(targets(model, ("norms",))) == len(targets(model, ()))


def test_patterns_skip_by_full_name_part_and_last_part():
    model = language_model()
    every = {target.name for target in targets(model, ())}
    first = {t.name for t in targets(model, ("*.0.*",))}
    assert every - first == {name for name in every if ".0." in name} != set()
    rest = {t.name for t in targets(model, ("q_proj", "lm_head"))}
    assert every - rest == {n for n in every if n.endswith(("q_proj", "lm_head"))}


def test_an_unknown_pattern_is_answered_with_the_nearest_name():
    with pytest.raises(
        QuantizationError, match="skip has 'headd'.*Did you mean 'head'"
    ):
        quantize(language_model(), "int8", skip=("headd",))


def test_a_model_with_nothing_to_quantize_is_refused():
    for model in (nn.LayerNorm(8), nn.Conv2d(3, 4, 3), nn.Sequential()):
        with pytest.raises(QuantizationError, match="has no weight to quantize"):
            quantize(model, "int8")
    with pytest.raises(QuantizationError, match=r"those skipped \(embeddings, \*\)"):
        quantize(network(), "int8", skip=("embeddings", "*"))


def test_what_is_no_expert_stays_as_it_is():
    class Seeing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.position = nn.Parameter(torch.zeros(1, 9, 8))
            self.filter = nn.Conv1d(8, 8, 3)
            self.linear = nn.Linear(8, 8)

    assert [target.name for target in targets(Seeing())] == ["linear"]


@pytest.mark.parametrize(
    ("scheme", "backend"),
    [("int8", "native"), ("nf4", "bitsandbytes"), ("int8", "torchao")],
)
def test_quantizing_twice_is_refused_until_it_is_dequantized(scheme, backend):
    model = nn.Sequential(nn.Linear(64, 64))
    quantized = quantize(model, scheme, backend)
    with pytest.raises(QuantizationError, match="quantized already .'0' is a"):
        quantize(quantized, "int8")
    again = quantize(dequantize(quantized), "int8")
    assert quantized_modules(again)
    with pytest.raises(QuantizationError, match="no quantized weights to dequantize"):
        dequantize(model)


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_counted_and_named(broken):
    model = network()
    with torch.no_grad():
        model[2].weight[3, 5:7] = broken
    with pytest.raises(
        QuantizationError, match="'2.weight' has 2 weights that are NaN"
    ):
        quantize(model, "int4")


def test_weights_that_are_not_here_or_are_whole_numbers_are_named():
    with pytest.raises(QuantizationError, match="'0.weight' has no values"):
        quantize(network().to("meta"), "int4")
    model = network()
    model[0].weight = nn.Parameter(torch.ones(48, 64, dtype=torch.int32), False)
    with pytest.raises(QuantizationError, match="'0.weight' is torch.int32"):
        quantize(model, "int4")


@pytest.mark.parametrize("size", [0, -32])
def test_a_group_size_below_one_is_refused(size):
    with pytest.raises(QuantizationError, match=f"group_size is {size}"):
        quantize(network(), "int4", group_size=size)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_on_cpus_the_native_backend_is_chosen_and_says_why(scheme):
    recipe = recipe_of(quantize(network(), scheme))
    assert recipe.backend == "native"
    assert "decode fastest on CPUs" in recipe.reason
    assert recipe_of(quantize(network(), scheme, "native")).reason == "it was asked for"


def test_on_gpus_bitsandbytes_is_chosen_for_what_it_can_do():
    from xturing.quant.choosing import choose

    gpu = torch.device("cuda")
    assert choose("auto", SCHEMES["nf4"], gpu).backend.name == "bitsandbytes"
    assert choose("auto", SCHEMES["int4"], gpu).backend.name == "native"
    assert choose("auto", SCHEMES["nf4"], gpu, is_plain=False).backend.name == "native"


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_an_empty_layer_is_left_alone():
    model = nn.Sequential(nn.Linear(64, 64), nn.ModuleDict())
    model.add_module("none", nn.Linear(64, 0))
    quantized = quantize(model, "int4")
    assert list(quantized_modules(quantized)) == ["0"]
    assert quantized[0](normal(2, 64)).shape == (2, 64)
