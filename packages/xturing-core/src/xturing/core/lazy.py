"""Packages whose names are imported when they are first used."""

import sys
from collections.abc import Callable
from importlib import import_module


def exports(package: str, **modules: str) -> Callable[[str], object]:
    """Return a module's `__getattr__` that finds each name in the given submodule."""

    def getattribute(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        value = getattr(import_module(f"{package}.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return getattribute
