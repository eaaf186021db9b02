import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xturing.quant.rounding import fitted_group, nearest, quantized, value_of
from xturing.quant.schemes import SCHEMES

each_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def rounded(weight, scheme, group):
    codes, scales = quantized(weight, scheme, group)
    grouped = codes.float().unflatten(1, (-1, group))
    return value_of(grouped, scales.transpose(0, 1).float(), scheme).flatten(1)


def decibels(weight, kept):
    return float(
        10 * torch.log10(weight.square().sum() / (weight - kept).square().sum())
    )


@each_scheme
@pytest.mark.parametrize("spread", [1e-4, 1.0, 300.0])
def test_normal_weights_lose_no_more_than_the_scheme_says(scheme, spread):
    weight = torch.randn(64, 256, generator=torch.Generator().manual_seed(3)) * spread
    group = fitted_group(256, scheme.group_size)
    assert decibels(weight, rounded(weight, scheme, group)) >= scheme.decibels


@each_scheme
@pytest.mark.parametrize("value", [0.0, 0.01, -3.0, 1e-30, 1e4])
def test_a_group_of_equal_weights_keeps_its_value(scheme, value):
    weight = torch.full((4, 64), value)
    kept = rounded(weight, scheme, 32)
    # As exact as a scale of two bytes is.
    assert torch.allclose(kept, weight, rtol=2**-7, atol=1e-30)


@each_scheme
def test_one_huge_weight_does_not_spoil_the_groups_beside_its_own(scheme):
    weight = torch.randn(1, 256, generator=torch.Generator().manual_seed(0))
    before = rounded(weight, scheme, 32)
    weight[0, 3] = 1e6
    after = rounded(weight, scheme, 32)
    assert torch.equal(before[:, 32:], after[:, 32:])


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(SCHEMES)),
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=8, max_size=64),
)
def test_every_code_is_the_nearest_one(name, values):
    scheme = SCHEMES[name]
    weight = torch.tensor(values)[None]
    group = weight.shape[1]
    codes, scales = quantized(weight, scheme, group)
    scales = scales.transpose(0, 1).float()
    top = len(scheme.levels or range(2**scheme.bits))
    every = torch.arange(top).float() - (top // 2 if scheme.is_symmetric else 0)
    choices = value_of(every[None, None], scales, scheme)[0, 0]
    kept = value_of(codes.float()[:, None], scales, scheme)[0, 0]
    best = (weight[0][:, None] - choices).abs().amin(1)
    slack = 1e-5 * weight.abs().max() + 1e-30
    assert ((weight[0] - kept).abs() <= best + slack).all()


@each_scheme
def test_rounding_what_is_rounded_changes_nothing(scheme):
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(1))
    codes, scales = quantized(weight, scheme, 32)
    groups = scales.transpose(0, 1).float()
    kept = value_of(codes.float().unflatten(1, (-1, 32)), groups, scheme)
    assert torch.equal(nearest(kept, groups, scheme).flatten(1), codes.float())


@given(st.integers(1, 5000), st.none() | st.integers(1, 300))
def test_a_group_divides_its_row_and_is_no_larger_than_wanted_unless_tiny(
    columns, wanted
):
    size = fitted_group(columns, wanted)
    assert columns % size == 0
    assert wanted is None or size <= wanted or size == columns


def test_rounding_does_not_depend_on_how_many_rows_there_are():
    weight = torch.randn(9000, 64, generator=torch.Generator().manual_seed(2))
    scheme = SCHEMES["int4"]
    codes, scales = quantized(weight, scheme, 32)
    few, their_scales = quantized(weight[5000:5003], scheme, 32)
    assert torch.equal(codes[5000:5003], few)
    assert torch.equal(scales[:, 5000:5003], their_scales)
