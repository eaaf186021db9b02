import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model

from xturing.models.compiling import compiled_blocks
from xturing.models.folding import foldable_layers, folded_adapters
from xturing.models.loss import supervised_losses, trainable

IDS = torch.arange(4 * 25).reshape(4, 25) % 50
TOKENS = IDS.numel()


def adapted(blocks=2, **changes):
    """Return a tiny network with biases, whose adapter has learnt something."""
    torch.manual_seed(0)
    config = tiny.llama_config()
    config.num_hidden_layers = blocks
    config.attention_bias = config.mlp_bias = True
    model = tiny.AutoModelForCausalLM.from_config(config)
    made = get_peft_model(
        model, LoraConfig(r=3, lora_alpha=7, target_modules="all-linear", **changes)
    )
    for name, parameter in made.named_parameters():
        if "lora_B" in name or name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return made.train()


def loss_and_gradients(model):
    losses = supervised_losses(model, IDS, IDS, torch.ones_like(IDS))
    named = trainable(model)
    found = torch.autograd.grad(losses.sum(), [each for _, each in named])
    names = [name for name, _ in named]
    return {"loss": losses.detach(), **dict(zip(names, found, strict=True))}


def is_folded(model):
    return any("forward" in vars(layer) for layer in model.modules())


def test_folded_adapters_lose_and_learn_the_same():
    model = adapted()
    beside = loss_and_gradients(model)
    with folded_adapters(model, TOKENS):
        assert is_folded(model)
        folded = loss_and_gradients(model)
    torch.testing.assert_close(folded, beside, rtol=1e-4, atol=1e-5)


def test_afterwards_the_layers_are_as_they_were():
    model = adapted()
    with folded_adapters(model, TOKENS):
        pass
    assert not is_folded(model)


def test_a_folded_adapter_that_is_switched_off_does_nothing():
    model = adapted()
    with model.disable_adapter():
        base = model(IDS).logits
        with folded_adapters(model, TOKENS):
            assert torch.equal(model(IDS).logits, base)


def test_without_gradients_the_adapter_stays_beside_the_weights():
    model = adapted()
    with torch.no_grad():
        beside = model(IDS).logits
        with folded_adapters(model, TOKENS):
            assert torch.equal(model(IDS).logits, beside)


@pytest.mark.parametrize(
    "changes", [{"lora_dropout": 0.1}, {"use_dora": True}, {"lora_bias": True}], ids=str
)
def test_what_is_no_plain_adapter_is_not_folded(changes):
    assert foldable_layers(adapted(), TOKENS)
    assert not foldable_layers(adapted(**changes), TOKENS)


def test_no_adapter_is_rounded_into_weights_of_half_precision():
    assert not foldable_layers(adapted().bfloat16(), TOKENS)


def test_layers_of_more_inputs_than_there_are_tokens_are_not_folded():
    model = adapted()
    found = foldable_layers(model, TOKENS)
    widest = max(max(layer.base_layer.weight.shape) for layer in found)
    left = foldable_layers(model, widest - 1)
    assert 0 < len(left) < len(found)
    assert all(max(layer.base_layer.weight.shape) < widest for layer in left)


@pytest.mark.slow
def test_compiled_and_folded_blocks_keep_no_copy_of_a_weight():
    # The second block, whose input learns, would be another program.
    model = adapted(blocks=1)
    beside = loss_and_gradients(model)
    shapes = {each.shape for name, each in model.named_parameters() if "base" in name}
    copies = []

    def pack(tensor):
        is_own = not isinstance(tensor, torch.nn.Parameter)
        copies.extend([tensor.shape] * (is_own and tensor.shape in shapes))
        return tensor

    with (
        folded_adapters(model, TOKENS),
        compiled_blocks(model),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept),
    ):
        compiled = loss_and_gradients(model)
    assert not copies
    torch.testing.assert_close(compiled, beside, rtol=1e-4, atol=1e-5)
