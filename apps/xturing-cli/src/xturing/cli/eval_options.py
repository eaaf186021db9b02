"""The options of commands that evaluate models."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xturing.cli.data_options import (
    LimitOption,
    MapOption,
    OptionalDataOption,
    ShapeOption,
    SourceOption,
    SplitOption,
    reading,
)
from xturing.cli.json_output import JsonOption
from xturing.cli.model_options import TemplateOption, WeightsOption, open_chosen
from xturing.cli.option_groups import grouped
from xturing.cli.output_options import DryRunOption
from xturing.cli.setting_options import ConfigOption, SetOption, setting_layers
from xturing.core.errors import SettingsError

if TYPE_CHECKING:
    from xturing.eval import EvalConfig, Gates
    from xturing.models import BaseModel

MetricsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metrics",
        metavar="NAMES",
        help="Metrics, with commas between them; those that suit the rows if left out.",
    ),
]
BoundOption = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under",
        metavar="FIGURE=VALUE",
        help="End with code 3 if the last model's figure is worse; losses must not be "
        "above it.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What models are asked, and what is done with it: each field is an option."""

    data: OptionalDataOption = None
    task: Annotated[
        str | None,
        typer.Option("--task", help="A task's name (`xturing eval list`) or file."),
    ] = None
    metrics: MetricsOption = None
    limit: LimitOption = None
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Where the result goes: answers and reports; the same command goes on "
            "there.",
        ),
    ] = None
    fail_under: BoundOption = None
    config: ConfigOption = None
    settings: SetOption = None
    weights: WeightsOption = None
    chat_template: TemplateOption = None
    source: SourceOption = None
    split: SplitOption = None
    shape: ShapeOption = None
    columns: MapOption = None
    dry_run: DryRunOption = False
    as_json: JsonOption = False

    def subject(self) -> object:
        """Return the task or the rows.

        Raises:
            SettingsError: there is not exactly one of them.
        """
        from xturing.data import open_dataset
        from xturing.eval import open_task

        if (self.data is None) == (self.task is None):
            raise SettingsError(
                "Say what to ask by exactly one of -d ROWS and --task NAME "
                "(`xturing eval list` has the names)."
            )
        if self.task is not None:
            return open_task(self.task)
        options = reading(self.source, self.split, self.shape, self.columns)
        return open_dataset(self.data, **options)

    def resolved(self) -> "EvalConfig":
        """Return the settings."""
        from xturing.eval import EvalConfig

        own = {"limit": ("--limit", self.limit)}
        return EvalConfig.resolve(*setting_layers(self.config, self.settings, own))

    def gates(self, *, refuses_regressions: bool = False) -> "Gates":
        """Return the conditions that are set."""
        return gates_of(self.fail_under, refuses_regressions=refuses_regressions)

    def opener(self) -> "Callable[[str], BaseModel]":
        """Return what opens a model by its name or folder."""

        def opened(reference: str) -> "BaseModel":
            is_folder = Path(reference).expanduser().is_dir()
            weights = None if is_folder else self.weights
            return open_chosen(reference, weights, chat_template=self.chat_template)

        return opened


asking = grouped(Asked, "asked")
"""Gives a command an option for each field of its argument `asked`."""


def names_of(metrics: list[str] | None) -> list[str] | None:
    """Return the metrics that options name, commas or not."""
    if metrics is None:
        return None
    named = [name.strip() for part in metrics for name in part.split(",")]
    return [name for name in named if name]


def gates_of(
    fail_under: list[str] | None, *, refuses_regressions: bool = False
) -> "Gates":
    """Return the conditions that options set."""
    from xturing.eval import Bound, Gates

    bounds = tuple(Bound.parse(text) for text in fail_under or [])
    return Gates(bounds=bounds, refuses_regressions=refuses_regressions)
