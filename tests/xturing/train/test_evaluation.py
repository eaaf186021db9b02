import numpy as np
import pytest
import torch

from xturing.core.labels import IGNORE
from xturing.data import encode
from xturing.models import GenericLoraModel, GenericModel
from xturing.train import held_out_loss


@pytest.fixture(params=["tiny_folder", "tiny_gpt2_folder"])
def model(request):
    return GenericModel(request.getfixturevalue(request.param))


@torch.inference_mode()
def reference_perplexity(model, examples) -> float:
    losses = []
    for example in examples:
        ids = torch.from_numpy(example.ids.astype(np.int64))
        logits = model(input_ids=ids[None]).logits[0].double()
        for position, target in enumerate(example.labels[1:]):
            if target != IGNORE:
                losses.append(-logits[position].log_softmax(-1)[int(target)])
    return float(torch.stack(losses).mean().exp())


@pytest.mark.parametrize("batch_size", [1, 3, 7, 32])
def test_perplexity_is_right_whatever_the_batch_size__predecessor_fault_7(
    model, rows, batch_size
):
    examples = encode(rows, model.engine.tokenizer, max_length=128).examples
    expected = reference_perplexity(model.engine.model, examples)
    found = model.evaluate(rows, batch_size=batch_size)
    assert isinstance(found, float)
    assert found == pytest.approx(expected, rel=1e-5)


def test_evaluation_keeps_no_gradients_and_no_mode__predecessor_fault_7(
    tiny_folder, rows
):
    model = GenericLoraModel(tiny_folder)
    torch_model = model.prepare_training()
    torch_model.train()
    model.evaluate(rows)
    assert torch_model.training
    assert all(parameter.grad is None for parameter in torch_model.parameters())


def test_dropout_does_not_enter_an_evaluation(tiny_folder, rows):
    model = GenericLoraModel(tiny_folder)
    model.finetuning_config().lora_dropout = 0.9
    torch_model = model.prepare_training().train()
    with torch.no_grad():
        for name, parameter in torch_model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    assert model.evaluate(rows) == model.evaluate(rows)


def test_totals_add_up(model, rows):
    examples = encode(rows, model.engine.tokenizer, max_length=128).examples

    def loss(part):
        return held_out_loss(model.engine.model, part, pad_id=2, batch_size=4)

    whole, first, rest = loss(examples), loss(examples[:5]), loss(examples[5:])
    assert whole.tokens == first.tokens + rest.tokens
    assert whole.nats == pytest.approx(first.nats + rest.nats, rel=1e-6)
