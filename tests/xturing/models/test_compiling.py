import pytest
import tiny
import torch
from torch._dynamo.utils import counters

from xturing.core.errors import CompileError
from xturing.models import compiling
from xturing.models.compiling import compiled_blocks, decoder_blocks
from xturing.models.loss import supervised_losses

LABELS = torch.arange(3 * 9).reshape(3, 9) % 50


@pytest.fixture(scope="module")
def model():
    """Return a tiny network; its compiled program is kept from test to test."""
    return tiny.AutoModelForCausalLM.from_config(tiny.llama_config()).train()


def loss_and_gradients(model, ids):
    model.zero_grad()
    losses = supervised_losses(model, ids, ids, torch.ones_like(ids))
    losses.sum().backward()
    gradients = {name: each.grad.clone() for name, each in model.named_parameters()}
    return {"loss": losses.detach(), **gradients}


def programs():
    return counters["stats"]["unique_graphs"]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [3, 1])
def test_compiled_blocks_lose_and_learn_the_same(model, rows):
    ids = LABELS[:rows]
    plain = loss_and_gradients(model, ids)
    with compiled_blocks(model):
        compiled = loss_and_gradients(model, ids)
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_batches_of_all_shapes_and_answers_take_one_program(model):
    with compiled_blocks(model):
        before = programs()
        for ids in (LABELS, LABELS[:2, :5], LABELS[:1], LABELS.repeat(5, 2)):
            loss_and_gradients(model, ids)
        model.generate(LABELS[:2, :4], max_new_tokens=3, do_sample=False)
        assert programs() == before


@pytest.mark.slow
def test_compiling_leaves_randomness_and_gradients_alone(model):
    model.zero_grad()
    state = torch.random.get_rng_state()
    with compiled_blocks(model):
        assert torch.equal(torch.random.get_rng_state(), state)
        assert all(each.grad is None for each in model.parameters())
    assert all(each._compiled_call_impl is None for each in decoder_blocks(model))


def test_a_missing_compiler_is_told_and_the_model_works_as_before(model, monkeypatch):
    def missing(_model):
        raise CompileError("InvalidCxxCompiler: No working C++ compiler found")

    monkeypatch.setattr(compiling, "_try_out", missing)
    with pytest.raises(CompileError, match=r"No working C\+\+"), compiled_blocks(model):
        pass
    assert all(each._compiled_call_impl is None for each in decoder_blocks(model))
    assert loss_and_gradients(model, LABELS)


def test_a_model_that_names_no_blocks_is_refused():
    linear = torch.nn.Linear(2, 2)
    with (
        pytest.raises(CompileError, match="Linear does not tell"),
        compiled_blocks(linear),
    ):
        pass
