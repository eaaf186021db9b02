"""Checkpointed blocks: less is kept, and nothing else is different."""

from collections import Counter
from contextlib import contextmanager, nullcontext

import pytest
import tiny
import torch
from torch._dynamo.utils import counters
from torch.autograd.graph import saved_tensors_hooks
from transformers import AutoModelForCausalLM

from xturing.core.errors import ModelError
from xturing.models import GenericLoraModel
from xturing.models.blocks import decoder_blocks
from xturing.models.checkpointing import checkpointed
from xturing.models.compiling import compiled_blocks
from xturing.models.loss import trainable

IDS = torch.randint(5, 400, (2, 24), generator=torch.Generator().manual_seed(0))
DROPPED = {"attn_pdrop": 0.2, "resid_pdrop": 0.2, "attention_dropout": 0.2}


def network(architecture, **changes):
    config = tiny.CONFIGS[architecture]()
    for name, value in changes.items():
        setattr(config, name, value)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).train()


@pytest.fixture
def adapted(tiny_folder):
    """Return a network of which only an adapter is trained."""
    return GenericLoraModel(tiny_folder).prepare_training()


def step(model):
    """Return the loss and the gradients; dropout draws the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        loss = model(input_ids=IDS, labels=IDS, use_cache=False).loss
        wanted = [parameter for _, parameter in trainable(model)]
        return [loss, *torch.autograd.grad(loss, wanted, allow_unused=True)]


@contextmanager
def counting(model):
    """Yield how often each block's own computation is run."""
    runs = Counter()
    hooks = [
        next(block.children()).register_forward_pre_hook(
            lambda *_, number=number: runs.update([number])
        )
        for number, block in enumerate(decoder_blocks(model))
    ]
    yield runs
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize(
    "architecture", ["bloom", "falcon", "gemma3", "gpt2", "llama", "mamba", "mixtral"]
)
def test_loss_and_gradients_are_the_same_bits(architecture):
    model = network(architecture, **DROPPED)
    plain = step(model)
    with checkpointed(model):
        thrifty = step(model)
    for ours, theirs in zip(thrifty, plain, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.equal(ours, theirs)


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("is_checkpointed", [True, False])
def test_blocks_run_twice_though_their_weights_are_frozen__peer_idle_checkpointing(
    adapted, is_training, is_checkpointed
):
    adapted.train(is_training)
    context = checkpointed(adapted) if is_checkpointed else nullcontext()
    with context, counting(adapted) as runs:
        step(adapted)
    assert runs == dict.fromkeys(range(2), 1 + is_checkpointed)


def kept_bytes(model):
    """Return how much is kept for the gradients, weights apart."""
    kept = {}

    def keep(tensor):
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model(input_ids=IDS, use_cache=False)
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    return sum(size for place, size in kept.items() if place not in weights)


def test_less_is_kept_for_the_gradients__peer_idle_checkpointing(adapted):
    plain = kept_bytes(adapted)
    with checkpointed(adapted):
        assert kept_bytes(adapted) < plain / 2


def test_without_gradients_nothing_is_run_twice(adapted):
    with checkpointed(adapted), torch.no_grad(), counting(adapted) as runs:
        adapted(input_ids=IDS)
    assert runs == {0: 1, 1: 1}


def test_the_blocks_are_as_they_were_afterwards_even_after_an_error(adapted):
    blocks = decoder_blocks(adapted)
    blocks[1].forward = blocks[1].forward
    before = [dict(vars(block)) for block in blocks]
    with pytest.raises(KeyError), checkpointed(adapted):
        raise KeyError
    assert [dict(vars(block)) for block in blocks] == before


def test_blocks_are_found_by_what_a_checkpoint_s_own_code_says():
    class Block(torch.nn.Linear):
        pass

    model = torch.nn.Sequential(Block(2, 2), torch.nn.ReLU(), Block(2, 2))
    model._no_split_modules = ["Block"]
    assert decoder_blocks(model) == [model[0], model[2]]


def test_a_model_without_known_blocks_is_refused():
    network = torch.nn.Linear(2, 2)
    expected = pytest.raises(ModelError, match="Linear does not say which of its")
    with expected, checkpointed(network):
        pass


@pytest.mark.slow
def test_compiled_blocks_are_checkpointed_and_checkpointed_ones_compiled(adapted):
    # Without dropout, of which compiled blocks draw another.
    adapted.eval()
    # So is the first block like the others, and one program does for all.
    adapted.enable_input_require_grads()
    plain, before = step(adapted), kept_bytes(adapted)
    programs = counters["stats"]["unique_graphs"]
    with checkpointed(adapted), compiled_blocks(adapted):
        thrifty, after = step(adapted), kept_bytes(adapted)
    assert counters["stats"]["unique_graphs"] > programs
    assert after < before / 2
    torch.testing.assert_close(thrifty, plain, rtol=1e-4, atol=1e-5)
