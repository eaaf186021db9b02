import pytest
import torch
from quant import each_scheme, language_model, normal, relative, token_rows
from torch import nn

from xturing.core.errors import QuantizationError
from xturing.quant import calibration, dequantize, quantize, report
from xturing.quant.rounding import fitted_scales, nearest, value_of
from xturing.quant.schemes import SCHEMES


def alike(count: int, width: int, seed: int = 0) -> torch.Tensor:
    """Return inputs whose columns are much alike, as those of real layers are."""
    mix = normal(width // 8, width, seed=9)
    return normal(count, width // 8, seed=seed) @ mix + 0.1 * normal(
        count, width, seed=5
    )


@each_scheme
def test_outputs_change_less_with_calibration(scheme):
    layer = nn.Linear(160, 48)
    rows, fresh = [alike(300, 160, seed=1)], alike(300, 160, seed=2)
    plain, fitted = (quantize(layer, scheme, calibration=r) for r in (None, rows))
    wanted = layer(fresh)
    assert relative(fitted(fresh), wanted) < 0.9 * relative(plain(fresh), wanted)


@pytest.mark.parametrize("scheme", ["int4", "int2"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_language_model_is_nearer_to_its_original_with_calibration(
    architecture, scheme
):
    model, rows = language_model(architecture), token_rows(32)
    plain, fitted = (quantize(model, scheme, calibration=r) for r in (None, rows))
    far = [report(model, each, token_rows(4)).divergence for each in (plain, fitted)]
    assert far[1] < far[0]


@pytest.mark.parametrize("group", [32, 96, 48])
@pytest.mark.parametrize("scheme", ["int4", "int8", "nf4"])
def test_blocks_give_what_going_column_by_column_does(scheme, group):
    """Groups of 96 and 48 cross the borders of blocks of 128 columns."""
    columns = 288
    chosen = SCHEMES[scheme]
    weight, x = normal(12, columns), alike(600, columns)
    moment = x.T @ x
    codes, scales = calibration.calibrated(weight, chosen, group, moment)
    left, inverse = (
        weight.clone().double(),
        calibration._inverse(moment, weight).double(),
    )
    wanted = torch.empty_like(left)
    for column in range(columns):
        if column % group == 0:
            current = fitted_scales(left[:, column : column + group].float(), chosen)
        now = left[:, column : column + 1].float()
        code = nearest(now, current, chosen)
        wanted[:, column : column + 1] = code
        error = (now - value_of(code, current, chosen)).double() / inverse[
            column, column
        ]
        left[:, column + 1 :] -= error @ inverse[column : column + 1, column + 1 :]
    assert (codes != wanted).float().mean() < 0.01
    assert scales.shape[:2] == (columns // group, 12)


class Forked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(32, 32)
        self.never = nn.Linear(32, 32)

    def forward(self, x):
        return self.used(input=x)


def test_a_layer_that_no_row_reaches_is_named():
    with pytest.raises(
        QuantizationError, match="the 1 calibration rows reached 'never'"
    ):
        quantize(Forked(), "int4", calibration=[normal(4, 32)])
    with pytest.raises(QuantizationError, match="No input of the 0 calibration rows"):
        quantize(nn.Linear(32, 32), "int4", calibration=[])
    quantize(Forked(), "int4", skip=("never",), calibration=[normal(4, 32)])


def test_rows_that_are_no_numbers_are_refused():
    rows = [torch.full((4, 32), float("nan"))]
    with pytest.raises(QuantizationError, match="not finite on the calibration rows"):
        quantize(nn.Linear(32, 32), "int4", calibration=rows)


@each_scheme
def test_inputs_that_are_always_zero_or_the_same_do_no_harm(scheme):
    x = normal(50, 64)
    x[:, 10:20] = 0
    x[:, 30:40] = x[:, 29:30]
    layer = nn.Linear(64, 16)
    fitted = quantize(layer, scheme, calibration=[x])
    plain = quantize(layer, scheme)
    assert relative(fitted(x), layer(x)) <= relative(plain(x), layer(x)) * 1.05
    assert torch.isfinite(dequantize(fitted).weight).all()


def test_calibration_leaves_modes_and_hooks_as_they_were():
    model = nn.Sequential(nn.Linear(32, 32), nn.Dropout(), nn.Linear(32, 8)).train()
    model[1].eval()
    quantized = quantize(model, "int4", calibration=[normal(4, 32)])
    assert [layer.training for layer in quantized] == [True, False, True]
    assert not any(m._forward_pre_hooks for m in quantized.modules())


def test_portions_give_what_all_at_once_does(monkeypatch):
    model, rows = language_model(), token_rows(2)
    portions = list(
        calibration.in_portions({str(i): nn.Linear(64, 8) for i in range(5)})
    )
    assert [len(portion) for portion in portions] == [5]
    monkeypatch.setattr(calibration, "MEMORY", 64 * 64 * 4 * 2)
    many = list(calibration.in_portions({str(i): nn.Linear(64, 8) for i in range(5)}))
    assert [len(portion) for portion in many] == [2, 2, 1]
    quantize(model, "int4", calibration=rows)
