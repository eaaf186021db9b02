import math

import pytest
import torch
from quant import each_scheme, language_model, network, normal, token_rows
from torch import nn

from xturing.core.labels import IGNORE
from xturing.quant import quantize, report


class Fixed(nn.Module):
    """Gives the same logits, whatever it is asked."""

    def __init__(self, logits: list[list[float]]) -> None:
        super().__init__()
        self.logits = torch.tensor([logits])

    def forward(self, _ids):
        return self.logits


def test_a_model_is_not_far_from_itself():
    model = language_model()
    found = report(model, model, token_rows(2))
    assert (found.divergence, found.top1_agreement, found.loss_increase) == (0, 1, 0)
    assert found.positions == 2 * 31
    assert (found.layers, found.decibels) == ((), None)


def test_weights_that_are_kept_exactly_have_no_noise():
    layer = nn.Linear(64, 4)
    with torch.no_grad():
        layer.weight.fill_(0)
    found = report(layer, quantize(layer, "int8"), [normal(2, 64)])
    assert found.decibels == math.inf


def test_divergence_loss_and_agreement_are_those_worked_out_by_hand():
    # Two positions count: the last one has no token after it.
    before = Fixed([[math.log(3), 0.0], [0.0, 0.0], [9.0, 0.0]])
    after = Fixed([[0.0, 0.0], [0.0, math.log(3)], [0.0, 9.0]])
    found = report(before, after, [torch.tensor([[1, 0, 1]])])
    # (3/4, 1/4) to (1/2, 1/2), then the other way round with the sides exchanged.
    first = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    second = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert found.divergence == pytest.approx((first + second) / 2, rel=1e-5)
    assert found.top1_agreement == 0.5
    assert found.loss_before == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert found.loss_after == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)


def test_labels_that_are_ignored_count_nowhere():
    before = Fixed([[2.0, 0.0], [5.0, 0.0], [9.0, 0.0]])
    after = Fixed([[1.0, 0.0], [0.0, 5.0], [0.0, 9.0]])
    ids = torch.tensor([[0, 0, 0]])
    found = report(before, after, [(ids, torch.tensor([[IGNORE, 0, IGNORE]]))])
    assert (found.positions, found.top1_agreement) == (1, 1)
    assert found.loss_after == pytest.approx(math.log(1 + math.exp(-1)))
    none = report(before, after, [(ids, torch.full((1, 3), IGNORE))])
    assert (none.positions, none.divergence, none.loss_before) == (0, 0, None)


def test_the_rows_order_and_batches_do_not_matter():
    model = language_model()
    quantized, rows = quantize(model, "int3"), token_rows(4)
    one = report(model, quantized, rows)
    other = report(model, quantized, [torch.cat(rows[::-1])])
    assert other.divergence == pytest.approx(one.divergence, rel=1e-4)
    assert other.loss_after == pytest.approx(one.loss_after, rel=1e-4)


def test_inputs_that_are_no_tokens_have_no_loss():
    model = network()
    found = report(model, quantize(model, "int4"), [normal(5, 64)])
    assert (found.positions, found.loss_increase) == (5, None)
    assert found.divergence > 0


def test_every_module_s_own_mode_is_put_back_even_after_an_error():
    model = network().train()
    model[2].eval()
    quantized = quantize(model, "int4")
    report(model, quantized, [normal(2, 64)])
    with pytest.raises(RuntimeError):
        report(model, quantized, [normal(2, 63)])
    for each in (model, quantized):
        assert [layer.training for layer in each] == [True, True, False]


@each_scheme
def test_bytes_are_those_of_the_quantized_weights(scheme):
    model = language_model("gpt_oss")
    quantized = quantize(model, scheme)
    found = report(model, quantized, token_rows(1))
    shapes = [p for n, p in model.named_parameters() if _is_quantized(n)]
    assert found.bytes_before == sum(p.nbytes for p in shapes)
    packed = quantized.state_dict()
    assert found.bytes_after == sum(
        value.nbytes for name, value in packed.items() if ".packed_" in name
    )
    assert found.bytes_after < found.bytes_before


def _is_quantized(name: str) -> bool:
    if name.endswith("bias") or "router" in name or "norm" in name:
        return False
    return "proj" in name or "lm_head" in name


def test_fewer_bits_are_further_away():
    model = language_model()
    rows = token_rows(2)
    far = [
        report(model, quantize(model, scheme), rows).divergence
        for scheme in ("int8", "int4", "int3", "int2")
    ]
    assert far == sorted(far)
