"""Experiment trackers by name: Lightning's loggers, each an extra of this package."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import (
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from xturing.core.errors import SettingsError
from xturing.core.extras import require
from xturing.core.files import read_json, write_json
from xturing.models.settings import FinetuningConfig
from xturing.train.events import StepEnded, Validated

PROJECT = "xturing"
MLFLOW_ADDRESS = "MLFLOW_TRACKING_URI"
RUNS_FILE = "trackers.json"
"""What trackers call the run, for it to go on there when it is resumed."""
PLACES = {"output_dir", "encoding_cache"}
"""Settings that are of this machine, and stay on it."""


def metrics(event: StepEnded | Validated) -> dict[str, float]:
    """Return what trackers are told of an event."""
    compared = asdict(event.comparison) if event.comparison else {}
    if isinstance(event, Validated):
        found = {"loss": event.loss, "perplexity": event.perplexity, **compared}
        named = {f"held_out_{name}": value for name, value in found.items()}
    else:
        named = {
            "loss": event.loss,
            "learning_rate": event.learning_rate,
            "gradient_norm": event.gradient_norm,
            "tokens_per_second": event.tokens / event.seconds if event.seconds else 0.0,
            **compared,
        }
    return {name: value for name, value in named.items() if value is not None}


def log(loggers: Sequence[Logger], event: StepEnded | Validated) -> None:
    """Tell the loggers of an event."""
    for logger in loggers:
        logger.log_metrics(metrics(event), step=event.step)


def require_trackers(config: FinetuningConfig) -> None:
    """Refuse trackers that are not installed, before anything slow begins.

    Raises:
        MissingDependencyError: one is missing; the message has the pip line.
        SettingsError: MLflow has no address.
    """
    for name in config.trackers:
        TRACKERS[name].library()


@contextmanager
def tracking(
    config: FinetuningConfig,
    folder: Path,
    given: Sequence[Logger] = (),
    *,
    step: int = 0,
) -> Iterator[list[Logger]]:
    """Yield the given loggers and the trackers of the settings; close all at the end.

    What they keep on this machine is in the run's folder, unless their own environment
    variables say otherwise. A run that goes on after a `step` goes on there, too.
    """
    settings = config.model_dump(mode="json", exclude=PLACES)
    names = list(dict.fromkeys(config.trackers))
    runs = _known_runs(folder / RUNS_FILE) if step else {}
    with ExitStack() as stack:
        loggers: list[Logger] = []
        for logger in given:
            stack.push(_Closing(_close, logger))
            loggers.append(logger)
        for name in names:
            tracker = TRACKERS[name]
            logger = tracker.open(folder, runs.get(name), step)
            stack.push(_Closing(tracker.close, logger))
            logger.log_hyperparams(settings)
            if tracker.run is not None:
                runs[name] = tracker.run(logger)
            loggers.append(logger)
        if runs:
            write_json(folder / RUNS_FILE, runs)
        yield loggers


def _known_runs(path: Path) -> dict[str, str]:
    found = read_json(path) if path.is_file() else {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


@dataclass(frozen=True, kw_only=True)
class Tracker:
    """How a tracker is found, opened and closed."""

    library: Callable[[], Any]
    """Imports it, or raises `MissingDependencyError`."""
    open: Callable[[Path, str | None, int], Any]
    """Takes the run's folder, what the tracker calls the run that goes on, and the
    step that it goes on after."""
    close: Callable[[Any, bool], None]
    """Takes whether the run came to its end."""
    run: Callable[[Any], str] | None = None
    """Returns what the tracker calls the run."""


@dataclass(frozen=True)
class _Closing:
    """Closes a logger when a run ends, well or not."""

    close: Callable[[Any, bool], None]
    logger: Logger

    def __call__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(self.logger, kind is None)


def _tensorboard() -> Any:
    return require("tensorboard", package="xturing-train", extra="tensorboard")


def _wandb() -> Any:
    return require("wandb", package="xturing-train", extra="wandb")


def _mlflow() -> Any:
    if not os.environ.get(MLFLOW_ADDRESS):
        raise SettingsError(
            f"trackers has 'mlflow', but {MLFLOW_ADDRESS} is not set, so there is "
            "nowhere to send metrics to. Set it to your server's address, or to "
            "sqlite:///mlflow.db if the whole of mlflow is installed."
        )
    return require("mlflow", package="xturing-train", extra="mlflow")


def _open_tensorboard(folder: Path, _: str | None, step: int) -> Logger:
    # What was written after the checkpoint that the run goes on from is taken back.
    return TensorBoardLogger(
        folder,
        name="",
        version="tensorboard",
        default_hp_metric=False,
        purge_step=step + 1 if step else None,
    )


def _open_wandb(folder: Path, run: str | None, _: int) -> Logger:
    return WandbLogger(project=PROJECT, name=folder.name, save_dir=folder, version=run)


def _open_mlflow(folder: Path, run: str | None, _: int) -> Logger:
    # Its client keeps nothing by itself; that takes a server or the whole of mlflow.
    return MLFlowLogger(
        experiment_name=PROJECT,
        run_name=folder.name,
        tracking_uri=os.environ[MLFLOW_ADDRESS],
        run_id=run,
    )


def _close(logger: Logger, is_done: bool) -> None:
    logger.save()
    logger.finalize("success" if is_done else "failed")


def _finish_wandb(logger: Any, is_done: bool) -> None:
    logger.experiment.finish(exit_code=0 if is_done else 1)


TRACKERS: dict[str, Tracker] = {
    "tensorboard": Tracker(library=_tensorboard, open=_open_tensorboard, close=_close),
    "wandb": Tracker(
        library=_wandb,
        open=_open_wandb,
        close=_finish_wandb,
        run=lambda logger: str(logger.experiment.id),
    ),
    "mlflow": Tracker(
        library=_mlflow,
        open=_open_mlflow,
        close=_close,
        run=lambda logger: str(logger.run_id),
    ),
}
