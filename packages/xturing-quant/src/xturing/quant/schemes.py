"""Quantization schemes: the bits a weight gets, and the values they stand for."""

from dataclasses import dataclass

from xturing.core.errors import UnknownNameError
from xturing.core.names import suggestion

# The quantiles of a normal distribution, scaled to [-1, 1], with an exact zero
# (Dettmers et al. 2023, arXiv 2305.14314, appendix E).
NORMAL_FLOAT_4 = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
# E2M1 floating point (OCP Microscaling Formats 1.0, section 5.3.3) over its largest, 6.
_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
FLOAT_4 = (
    *(-value / 6 for value in reversed(_MAGNITUDES[1:])),
    *(value / 6 for value in _MAGNITUDES),
)

SKIP = ("embeddings",)
"""What is not quantized unless users say otherwise."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """What a quantized weight is made of.

    With `levels`, a weight is one of them times its group's largest magnitude. Without,
    the values of a group are evenly spaced: w = (code - 2^(bits-1)) * scale + zero.
    """

    name: str
    bits: int
    group_size: int | None
    """Weights of a row that share a scale; None: the whole row."""
    levels: tuple[float, ...] | None = None
    is_symmetric: bool = False
    """Whether there is no `zero`."""
    decibels: float
    """Least signal-to-noise ratio on normally distributed weights."""

    @property
    def fidelity(self) -> str:
        """What to expect of it, in words."""
        if self.decibels >= 35:
            return "hardly to be told from full precision"
        if self.decibels >= 17:
            return "close to full precision"
        if self.decibels >= 15:
            return "visibly worse; better with an adapter trained on top"
        return "far from full precision; of use only with an adapter trained on top"


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(name="int8", bits=8, group_size=None, is_symmetric=True, decibels=38),
        Scheme(name="int4", bits=4, group_size=32, decibels=21.5),
        Scheme(name="nf4", bits=4, group_size=64, levels=NORMAL_FLOAT_4, decibels=20),
        Scheme(name="fp4", bits=4, group_size=64, levels=FLOAT_4, decibels=17.5),
        Scheme(name="int3", bits=3, group_size=32, decibels=15.5),
        Scheme(name="int2", bits=2, group_size=32, decibels=9),
        Scheme(name="int1", bits=1, group_size=32, decibels=4.5),
    )
}
"""The schemes by name, those that keep most first."""


def scheme_named(name: str) -> Scheme:
    """Return the scheme of that name.

    Raises:
        UnknownNameError: there is none; the message has the nearest ones.
    """
    if name not in SCHEMES:
        raise UnknownNameError(
            f"There is no quantization scheme '{name}'. {suggestion(name, SCHEMES)}"
        )
    return SCHEMES[name]
