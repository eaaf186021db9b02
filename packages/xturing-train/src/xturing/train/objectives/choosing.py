"""Objectives by name, and the one that rows call for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from xturing.core.errors import SettingsError
from xturing.core.events import Notice, tell
from xturing.core.settings import DEFAULT
from xturing.data.datasets import BaseDataset
from xturing.data.shapes import Kind
from xturing.models.base import SAVED
from xturing.models.settings import FinetuningConfig
from xturing.train.objectives.base import Objective
from xturing.train.objectives.dpo import DirectPreference
from xturing.train.objectives.kto import KahnemanTversky
from xturing.train.objectives.orpo import OddsRatio
from xturing.train.objectives.sft import Supervised


@dataclass(frozen=True, kw_only=True)
class Method:
    """A row of the table of objectives."""

    make: Callable[[FinetuningConfig, int], Objective]
    """Takes the settings and the id of padding."""
    kinds: tuple[Kind, ...]
    """Rows that it learns from."""
    measure: str
    """What the mean loss is over: a token, a pair or a judgement."""
    settings: tuple[str, ...]
    """Settings that are not read by all objectives, but by this one."""


METHODS: Mapping[str, Method] = {
    "sft": Method(
        make=Supervised.of,
        kinds=("messages", "instruction", "text"),
        measure="token",
        settings=("label_smoothing",),
    ),
    "dpo": Method(
        make=DirectPreference.of,
        kinds=("preference",),
        measure="pair",
        settings=("beta", "label_smoothing"),
    ),
    "orpo": Method(
        make=OddsRatio.of,
        kinds=("preference",),
        measure="pair",
        settings=("orpo_lambda",),
    ),
    "kto": Method(
        make=KahnemanTversky.of,
        kinds=("judgement",),
        measure="judgement",
        settings=("beta", "desirable_weight", "undesirable_weight"),
    ),
}
"""The first that takes a kind of rows is the one that `auto` chooses for them."""


def choose(config: FinetuningConfig, dataset: BaseDataset) -> str:
    """Return the name of the objective for the rows, and tell what `auto` chose.

    Raises:
        SettingsError: the objective does not take such rows, or a setting is for
            another one.
    """
    name = config.objective
    if name == "auto":
        name = next(name for name, way in METHODS.items() if dataset.kind in way.kinds)
        if name != "sft":
            told = f"Rows of the kind '{dataset.kind}' are learnt by {name.upper()}"
            tell(Notice(text=f"{told} (objective: auto)"))
    refuse_rows(name, dataset)
    _refuse_idle(name, config)
    return name


def refuse_rows(name: str, dataset: BaseDataset) -> None:
    """Raise `SettingsError` if the objective does not learn from such rows."""
    kinds = METHODS[name].kinds
    if dataset.kind not in kinds:
        fitting = [name for name, way in METHODS.items() if dataset.kind in way.kinds]
        raise SettingsError(
            f"objective is '{name}', which learns from rows of the kind "
            f"{' or '.join(kinds)}, but those of {dataset.origin} are of the kind "
            f"{dataset.kind}. Set objective to {' or '.join(fitting)}, or convert the "
            "rows with `xturing data convert`."
        )


def _refuse_idle(name: str, config: FinetuningConfig) -> None:
    """Raise `SettingsError` if a setting was made that the objective does not read."""
    own = METHODS[name].settings
    for setting in {s for way in METHODS.values() for s in way.settings} - set(own):
        source = config.sources[setting]
        if source not in (DEFAULT, SAVED) and not source.startswith("family "):
            readers = [
                other for other, way in METHODS.items() if setting in way.settings
            ]
            raise SettingsError(
                f"{setting} is set ({source}), but the objective '{name}' does not "
                f"read it: it is for {' and '.join(readers)}. Leave it out, or set "
                "objective to one of these."
            )
