"""What `--dry-run` shows: what a command was asked for, once all of it was checked.

Nothing is written, and no model is fetched or loaded; what is wrong is told as it would
be later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xturing.cli import render
from xturing.cli.json_output import answer
from xturing.core.errors import ModelError

if TYPE_CHECKING:
    from xturing.data import BaseDataset
    from xturing.models.family import Family

TITLE = 22
"""Characters of the column of titles."""


def show_intent(facts: Mapping[str, object], *, as_json: bool) -> None:
    """Show what would be done, each fact after its title, and that nothing was."""
    if as_json:
        answer({"dry_run": True, **facts})
        return
    for title, fact in facts.items():
        if not isinstance(fact, Mapping):
            render.say(f"{title.replace('_', ' '):<{TITLE}}{_shown(fact)}")
    render.say()
    render.say("This was a dry run: everything given fits, and nothing was written.")


@dataclass(frozen=True, kw_only=True)
class CheckedModel:
    """A model that there is, as far as can be told without opening it."""

    name: str
    where: str
    """Where its weights are, in words."""
    is_here: bool
    """Whether nothing has to be fetched."""

    @property
    def facts(self) -> dict[str, object]:
        """What is shown of it."""
        return {"model": self.name, "weights": self.where}


def checked_model(model: str, weights: str | None = None) -> CheckedModel:
    """Return the model that a name or a folder leads to.

    Raises:
        UnknownNameError: there is no such model.
        ModelError: its folder holds none, or it needs weights and none are given.
    """
    from xturing.models import Variant
    from xturing.models.folders import read_folder

    path = Path(model).expanduser()
    if path.is_dir():
        read_folder(path)
        return CheckedModel(name=model, where=f"in {path}", is_here=True)
    family = Variant.parse(model).family
    where, is_here = _own(family) if weights is None else _given(weights)
    return CheckedModel(name=model, where=where, is_here=is_here)


def checked_rows(dataset: "BaseDataset") -> dict[str, object]:
    """Return how many rows there are, and how they are read."""
    return {"rows": len(dataset), "read_as": dataset.decision}


def _given(weights: str) -> tuple[str, bool]:
    """Return where weights are that a user names, and whether that is here."""
    path = Path(weights).expanduser()
    if path.exists():
        return f"in {path}", True
    if weights.startswith((".", "/", "~")) or path.suffix == ".gguf":
        raise ModelError(
            f"There is no model at {weights}. Name a folder, a GGUF file or a hub id."
        )
    return f"{weights} of the hub", False


def _own(family: "Family") -> tuple[str, bool]:
    """Return where a family's own weights are, and whether that is here."""
    from xturing.models.hub import is_here

    if family.checkpoint is None:
        raise ModelError(
            f"'{family.name}' has no checkpoint of its own. Name one with --weights: "
            "a folder, a GGUF file or a hub id."
        )
    if family.wheel is None:
        return f"{family.checkpoint} of the hub", False
    return ("here", True) if is_here(family) else ("to be fetched", False)


def _shown(fact: object) -> str:
    if isinstance(fact, list | tuple):
        return ", ".join(map(str, fact))
    return f"{fact:,}" if type(fact) is int else str(fact)
