import pytest
import torch
from torch.nn import functional

from xturing.models import cross_entropy
from xturing.models.cross_entropy import head_losses

VOCABULARY = 41


@pytest.fixture(autouse=True)
def chunks_of_three(monkeypatch):
    monkeypatch.setattr(cross_entropy, "CHUNK_BYTES", 3 * 4 * VOCABULARY)


def both_ways(smoothing, *, is_frozen, has_bias=True):
    """Return losses and gradients of the head: as here, and as torch has them."""
    generator = torch.Generator().manual_seed(0)

    def tensor(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float32)

    hidden, weight = tensor(10, 8), tensor(VOCABULARY, 8)
    bias = tensor(VOCABULARY) if has_bias else None
    targets = torch.randint(VOCABULARY, (10,), generator=generator)
    # Losses that are weighed differently, as those of preferences are.
    weights = tensor(10)

    def torchs(hidden, weight, bias, targets, smoothing):
        logits = functional.linear(hidden, weight, bias)
        return functional.cross_entropy(
            logits, targets, reduction="none", label_smoothing=smoothing
        )

    for way in (head_losses, torchs):
        leaves = [
            None if each is None else each.clone().requires_grad_(is_learnt)
            for each, is_learnt in (
                (hidden, True),
                (weight, not is_frozen),
                (bias, not is_frozen),
            )
        ]
        losses = way(*leaves, targets, smoothing)
        (losses * weights).sum().backward()
        gradients = [each.grad for each in leaves if each is not None]
        yield [losses.detach(), *(each for each in gradients if each is not None)]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("is_frozen", [True, False])
@pytest.mark.parametrize("has_bias", [True, False])
def test_losses_and_gradients_are_those_of_torch(smoothing, is_frozen, has_bias):
    ours, theirs = both_ways(smoothing, is_frozen=is_frozen, has_bias=has_bias)
    assert len(ours) == len(theirs) == 2 + (not is_frozen) * (1 + has_bias)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-5, atol=1e-6)


def test_no_more_logits_are_made_at_once_than_a_chunk_has(monkeypatch):
    made = []
    real = functional.linear

    def linear(*inputs):
        made.append(len(inputs[0]))
        return real(*inputs)

    monkeypatch.setattr(cross_entropy.functional, "linear", linear)
    list(both_ways(0.0, is_frozen=True))
    assert made[:4] == [3, 3, 3, 1]


def test_no_learnt_token_has_no_loss():
    none = torch.empty(0, 8, requires_grad=True)
    losses = head_losses(none, torch.randn(VOCABULARY, 8), None, torch.empty(0).long())
    losses.sum().backward()
    assert losses.shape == (0,)
    assert none.grad is not None
