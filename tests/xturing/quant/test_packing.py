import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xturing.quant.packing import PLANES, pack, packed_width, unpack


@settings(deadline=None)
@given(st.sampled_from([1, 2, 3, 4]), st.integers(1, 70), st.integers(0, 3), st.data())
def test_unpacking_gives_the_codes_that_were_packed(bits, count, rows, data):
    seed = data.draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 2**bits, (rows, count), generator=generator).byte()
    packed = pack(codes, bits)
    assert packed.shape == (rows, packed_width(count, bits))
    assert packed.dtype == torch.uint8
    assert torch.equal(unpack(packed, bits, count), codes)


def test_packed_codes_take_their_bits_and_at_most_a_byte_for_each_plane():
    for bits in PLANES:
        for count in range(1, 100):
            spare = packed_width(count, bits) - count * bits / 8
            assert 0 <= spare < len(PLANES[bits])
