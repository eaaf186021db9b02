"""Experiment trackers by name: Lightning's loggers, each an extra of this package."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
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
from xturing.models.settings import FinetuningConfig
from xturing.train.events import StepEnded, Validated

PROJECT = "xturing"
MLFLOW_ADDRESS = "MLFLOW_TRACKING_URI"
PLACES = {"output_dir", "encoding_cache"}
"""Settings that are of this machine, and stay on it."""


def metrics(event: StepEnded | Validated) -> dict[str, float]:
    """Return what trackers are told of an event."""
    if isinstance(event, Validated):
        return {"held_out_loss": event.loss, "perplexity": event.perplexity}
    return {
        "loss": event.loss,
        "learning_rate": event.learning_rate,
        "gradient_norm": event.gradient_norm,
        "tokens_per_second": event.tokens / event.seconds if event.seconds else 0.0,
    }


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
def tracking(config: FinetuningConfig, folder: Path) -> Iterator[list[Logger]]:
    """Yield the trackers that the settings name, and close them at the end.

    What they keep on this machine is in the run's folder, unless their own environment
    variables say otherwise.
    """
    settings = config.model_dump(mode="json", exclude=PLACES)
    with ExitStack() as stack:
        loggers: list[Logger] = []
        for name in dict.fromkeys(config.trackers):
            tracker = TRACKERS[name]
            logger = tracker.open(folder)
            stack.callback(tracker.close, logger)
            logger.log_hyperparams(settings)
            loggers.append(logger)
        yield loggers


@dataclass(frozen=True)
class Tracker:
    """How a tracker is found, opened and closed."""

    library: Callable[[], Any]
    """Imports it, or raises `MissingDependencyError`."""
    open: Callable[[Path], Any]
    close: Callable[[Any], None]


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


def _open_tensorboard(folder: Path) -> Logger:
    return TensorBoardLogger(
        folder, name="", version="tensorboard", default_hp_metric=False
    )


def _open_wandb(folder: Path) -> Logger:
    return WandbLogger(project=PROJECT, name=folder.name, save_dir=folder)


def _open_mlflow(folder: Path) -> Logger:
    # Its client keeps nothing by itself; that takes a server or the whole of mlflow.
    return MLFlowLogger(
        experiment_name=PROJECT,
        run_name=folder.name,
        tracking_uri=os.environ[MLFLOW_ADDRESS],
    )


def _close(logger: Logger) -> None:
    logger.save()
    logger.finalize("success")


def _finish_wandb(logger: Any) -> None:
    logger.experiment.finish()


TRACKERS: dict[str, Tracker] = {
    "tensorboard": Tracker(_tensorboard, _open_tensorboard, _close),
    "wandb": Tracker(_wandb, _open_wandb, _finish_wandb),
    "mlflow": Tracker(_mlflow, _open_mlflow, _close),
}
