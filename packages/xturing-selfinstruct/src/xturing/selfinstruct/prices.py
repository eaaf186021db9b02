"""What tokens cost: a table in a file, which users may replace."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from xturing.core.errors import SettingsError
from xturing.selfinstruct.exchange import Usage

PER = 1_000_000
"""Tokens that a price is for."""
FREE = ("local", "scripted")


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars for a million tokens."""

    prompt: float
    completion: float

    def of(self, usage: Usage) -> float:
        """Return what so many tokens cost, in US dollars."""
        return (
            usage.prompt_tokens * self.prompt
            + usage.completion_tokens * self.completion
        ) / PER


def price_of(provider: str, model: str, table: Path | None = None) -> Price | None:
    """Return what a model costs; None if no table says it.

    A user's table goes before the one that is bundled.

    Raises:
        SettingsError: the table is missing or wrong.
    """
    if provider in FREE:
        return Price(prompt=0.0, completion=0.0)
    bundled = files("xturing.selfinstruct").joinpath("prices.yaml")
    tables = [_read(bundled.read_text(encoding="utf-8"), "the bundled prices")]
    if table is not None:
        tables.insert(0, _read(_text(table), str(table)))
    name = f"{provider}:{model}"
    return next((found[name] for found in tables if name in found), None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The prices {path} cannot be read: {error}") from error


def _read(text: str, origin: str) -> dict[str, Price]:
    try:
        table = yaml.safe_load(text)
        return {str(name): _price(row) for name, row in table.items()}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            f"{origin} is no table of prices ({type(error).__name__}: {error}). Write "
            "one model a line: `openai:gpt-4.1-mini: {prompt: 0.4, completion: 1.6}`, "
            "in US dollars for a million tokens."
        ) from error


def _price(row: Mapping[str, Any]) -> Price:
    return Price(prompt=float(row["prompt"]), completion=float(row["completion"]))
