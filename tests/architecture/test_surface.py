"""The names that users import: a change to them is made on purpose."""

from importlib import import_module
from pathlib import Path

import pytest

SURFACE = Path(__file__).with_name("surface.txt")
PACKAGES = [
    "xturing.data",
    "xturing.data.curation",
    "xturing.eval",
    "xturing.models",
    "xturing.quant",
    "xturing.selfinstruct",
    "xturing.train",
]


def surface() -> list[str]:
    return [
        f"{package}.{name}"
        for package in PACKAGES
        for name in sorted(import_module(package).__all__)
    ]


def test_the_public_names_are_those_that_were_agreed_on():
    assert surface() == SURFACE.read_text().splitlines()


@pytest.mark.parametrize("name", surface())
def test_every_public_name_is_there_and_explained(name):
    package, _, attribute = name.rpartition(".")
    thing = getattr(import_module(package), attribute)
    assert thing.__doc__
