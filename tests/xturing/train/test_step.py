"""Our step against a reference that anyone can read: plain PyTorch, float64."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from xturing.core.labels import IGNORE
from xturing.data import collate, encode
from xturing.models import GenericModel
from xturing.models.loss import supervised_losses
from xturing.models.settings import FinetuningConfig
from xturing.train.module import SupervisedModule
from xturing.train.objectives.sft import Supervised
from xturing.train.optimizers import (
    build_optimizer,
    learning_rate_factor,
    parameter_groups,
)
from xturing.train.schedule import Epochs, RunPlan, plan_run

TOLERANCE = 1e-5
OBJECTIVE = Supervised(pad_id=2)


@pytest.fixture(params=["tiny_folder", "tiny_gpt2_folder"])
def model(request):
    return GenericModel(request.getfixturevalue(request.param))


@pytest.fixture
def examples(model, rows):
    return encode(rows, model.engine.tokenizer, max_length=128).examples


def reference_loss(model, examples) -> torch.Tensor:
    """Return the mean loss per learnt token, row by row, with nothing left out."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for example in examples:
        ids = torch.from_numpy(example.ids.astype(np.int64))
        logits = model(input_ids=ids[None]).logits[0].double()
        for position in range(len(ids) - 1):
            target = int(example.labels[position + 1])
            if target != IGNORE:
                total = total - logits[position].log_softmax(-1)[target]
                count += 1
    return total / count


def gradients(model, loss) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def our_loss(torch_model, examples, batch_size, accumulation):
    """Return the loss of one optimizer step as the trainer sums it up."""
    config = FinetuningConfig(
        batch_size=batch_size, gradient_accumulation_steps=accumulation
    )
    module = SupervisedModule(torch_model, config, RunPlan(1, 1, 0, 0), OBJECTIVE)
    module.trainer = SimpleNamespace(accumulate_grad_batches=1)
    parts = []
    for index, micro in enumerate(Epochs(examples, config, OBJECTIVE)):
        module.on_train_batch_start(micro, index)
        part = module.training_step(micro, index)
        # Lightning divides each part by what it is told is their number.
        parts.append(part / module.trainer.accumulate_grad_batches)
    return torch.stack(parts).sum()


def relative_difference(ours, theirs) -> float:
    assert ours.keys() == theirs.keys()
    distance = sum((ours[name] - theirs[name]).norm() ** 2 for name in ours)
    length = sum(theirs[name].norm() ** 2 for name in ours)
    return float((distance / length) ** 0.5)


@pytest.mark.parametrize(
    ("batch_size", "accumulation"), [(8, 1), (1, 8), (2, 4), (3, 3)]
)
def test_loss_and_gradient_equal_the_reference__peer_theme_5(
    model, examples, batch_size, accumulation
):
    examples = examples[: batch_size * accumulation]
    torch_model = model.prepare_training()
    expected = reference_loss(torch_model, examples)
    expected_gradients = gradients(torch_model, expected)
    loss = our_loss(torch_model, examples, batch_size, accumulation)
    assert loss.item() == pytest.approx(expected.item(), abs=TOLERANCE)
    ours = gradients(torch_model, loss)
    assert relative_difference(ours, expected_gradients) < TOLERANCE


def test_losses_are_those_of_transformers(model, examples):
    batch = collate(examples[:4], pad_id=2)
    tensors = [
        torch.from_numpy(array)
        for array in (batch.input_ids, batch.labels, batch.attention_mask)
    ]
    ids, labels, mask = tensors
    torch_model = model.engine.model
    theirs = torch_model(input_ids=ids, attention_mask=mask, labels=labels).loss
    ours = supervised_losses(torch_model, ids, labels, mask)
    assert len(ours) == batch.supervised
    assert ours.mean().item() == pytest.approx(theirs.item(), abs=TOLERANCE)


def test_padding_changes_no_loss(model, examples):
    examples = sorted(examples, key=len)
    short, long = examples[0], examples[-1]
    assert len(short) < len(long)

    def losses(*chosen):
        batch = collate(chosen, pad_id=2)
        return supervised_losses(
            model.engine.model,
            torch.from_numpy(batch.input_ids),
            torch.from_numpy(batch.labels),
            torch.from_numpy(batch.attention_mask),
        )

    alone = losses(short)
    padded = losses(short, long)[: len(alone)]
    assert torch.allclose(alone, padded, atol=TOLERANCE)


def test_the_model_makes_all_logits_again_after_a_step(model, examples):
    our_loss(model.engine.model, examples[:2], 2, 1)
    ids = torch.tensor([[5, 6, 7]])
    assert model.engine.model(input_ids=ids).logits.shape == (1, 3, 512)


STEPS = 20


def factors(scheduler, warmup_steps):
    return [
        learning_rate_factor(
            step, steps=STEPS, warmup_steps=warmup_steps, scheduler=scheduler
        )
        for step in range(STEPS)
    ]


@pytest.mark.parametrize("scheduler", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("warmup_steps", [0, 1, 5])
def test_the_learning_rate_that_was_set_is_reached__predecessor_fault_11(
    scheduler, warmup_steps
):
    assert max(factors(scheduler, warmup_steps)) == 1.0


@pytest.mark.parametrize("scheduler", ["linear", "cosine"])
def test_the_learning_rate_falls_after_the_warm_up_and_never_to_nothing(scheduler):
    falling = factors(scheduler, 5)[5:]
    assert falling == sorted(falling, reverse=True)
    assert falling[-1] > 0


def test_the_warm_up_rises_by_equal_amounts():
    assert factors("constant", 4)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_norms_and_biases_do_not_decay(model):
    named = list(model.engine.model.named_parameters())
    decayed, level = parameter_groups(named, 0.1)
    assert (decayed["weight_decay"], level["weight_decay"]) == (0.1, 0.0)
    level_ids = {id(parameter) for parameter in level["params"]}
    for name, parameter in named:
        is_level = name.endswith("bias") or "norm" in name or ".ln_" in name
        assert (id(parameter) in level_ids) == is_level, name


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "adafactor"])
def test_every_optimizer_lowers_the_loss__predecessor_adam_was_a_module(
    name, model, examples
):
    torch_model = model.prepare_training()
    config = FinetuningConfig(optimizer_name=name, learning_rate=1e-2)
    named = list(torch_model.named_parameters())
    optimizer = build_optimizer(named, config)
    before = our_loss(torch_model, examples[:4], 4, 1)
    before.backward()
    optimizer.step()
    assert our_loss(torch_model, examples[:4], 4, 1) < before


def test_deepspeed_s_optimizer_asks_for_deepspeed(model, monkeypatch):
    import sys

    for name in ("deepspeed", "deepspeed.ops.adam"):
        monkeypatch.setitem(sys.modules, name, None)
    config = FinetuningConfig(optimizer_name="cpu_adam")
    with pytest.raises(ImportError, match=r'pip install "xturing-train\[deepspeed\]"'):
        build_optimizer(list(model.engine.model.named_parameters()), config)


def planned(rows, config):
    """Return the plan of a run over so many rows of seven tokens."""
    return plan_run([range(7)] * rows, config, OBJECTIVE)


def test_a_short_run_warms_up_over_a_tenth_of_it():
    config = FinetuningConfig(batch_size=1, num_train_epochs=2)
    assert planned(50, config) == RunPlan(
        steps=100, epochs=2, warmup_steps=10, tokens=100 * 7
    )


def test_max_steps_takes_the_place_of_epochs():
    config = FinetuningConfig(batch_size=5, max_steps=25)
    assert planned(50, config) == RunPlan(
        steps=25, epochs=3, warmup_steps=2, tokens=125 * 7
    )


def test_a_warm_up_longer_than_the_run_is_refused():
    from xturing.core.errors import SettingsError

    with pytest.raises(SettingsError, match="warmup_steps is 50, but the run has only"):
        planned(10, FinetuningConfig(warmup_steps=50))
