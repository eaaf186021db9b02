"""What the settings make of a run's processes, and whether they fit this machine."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from xturing.core.errors import SettingsError
from xturing.core.events import Notice, tell
from xturing.core.settings import DEFAULT, Layer
from xturing.models.base import BaseModel
from xturing.models.settings import FinetuningConfig
from xturing.train.strategies.fsdp import FullySharded
from xturing.train.strategies.launching import is_helper, refuse_unrepeatable
from xturing.train.strategies.place import Place, given_place
from xturing.train.strategies.processes import Processes, count_run, together
from xturing.train.strategies.whole import Whole
from xturing.train.strategies.zero import ZeroRedundancy, deepspeed_library


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A row of the table of strategies."""

    make: Callable[[Any], Whole]
    """Takes the torch model, with its adapter."""
    divides_weights: bool = False
    """Whether no process has the whole model."""
    divides_optimizer: bool = True
    needs_deepspeed: bool = False


def _zero(stage: int, *, offload: bool = False) -> Layout:
    return Layout(
        make=lambda model: ZeroRedundancy(model, stage, offload=offload),
        divides_weights=stage == 3,
        needs_deepspeed=True,
    )


LAYOUTS: Mapping[str, Layout] = {
    "ddp": Layout(make=Whole, divides_optimizer=False),
    "fsdp": Layout(make=FullySharded, divides_weights=True),
    "deepspeed_stage_1": _zero(1),
    "deepspeed_stage_2": _zero(2),
    "deepspeed_stage_3": _zero(3),
    "deepspeed_stage_2_offload": _zero(2, offload=True),
    "deepspeed_stage_3_offload": _zero(3, offload=True),
}


def layout(config: FinetuningConfig) -> Layout:
    """Return the row that the settings name; `auto` is that of whole models."""
    return LAYOUTS["ddp" if config.strategy == "auto" else config.strategy]


@contextmanager
def working_together(
    config: FinetuningConfig, model: BaseModel
) -> Iterator[tuple[FinetuningConfig, Processes]]:
    """Yield the settings, with their processes known, and the processes.

    Raises:
        SettingsError: the settings do not fit the model, this machine or what started
            this process; or no further processes can be started.
        MissingDependencyError: the strategy needs DeepSpeed, which is not installed.
        TrainingError: another process ended; or whatever error another one ended with.
    """
    run = count_run()
    device = model.engine.device.name
    given = given_place()
    settled = _settled(config, given, device)
    if settled.num_nodes * settled.devices == 1 and config.strategy == "auto":
        yield settled, Processes()
        return
    _refuse_unfit(settled, model)
    place = given or _own_place(settled)
    if given is None and place.per_node > 1:
        refuse_unrepeatable(run)
    with together(place, device, run=run, is_given=given is not None) as processes:
        yield settled, processes


def _settled(config: FinetuningConfig, given: Place | None, device: str) -> Any:
    """Return the settings with the number of processes that there are.

    Raises:
        SettingsError: torchrun or SLURM started others than are set.
    """
    if given is None:
        auto = torch.cuda.device_count() if device == "cuda" else 1
        if config.devices == "auto":
            return _with(config, "auto", devices=max(auto, 1))
        return config
    for name, asked, there in (
        ("devices", config.devices, given.per_node),
        ("num_nodes", config.num_nodes, given.nodes),
    ):
        is_set = config.sources[name] != DEFAULT and asked != "auto"
        if is_set and asked != there and not is_helper():
            raise SettingsError(
                f"{name} is {asked} ({config.sources[name]}), but this process was "
                f"started as one of {given.per_node} on each of {given.nodes} "
                f"machines. Set {name} to {there}, or leave it out."
            )
    return _with(config, "launcher", devices=given.per_node, num_nodes=given.nodes)


def _with(config: FinetuningConfig, source: str, **values: int) -> FinetuningConfig:
    return config.layered(Layer(source=source, values=values))


def _own_place(config: Any) -> Place:
    """Return where this process is, which is to start the others of its machine.

    Raises:
        SettingsError: there are to be several machines, and which one this is and
            where the first one is cannot be known.
    """
    if config.num_nodes == 1:
        return Place(per_node=config.devices)
    try:
        node = int(os.environ["NODE_RANK"])
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    except (KeyError, ValueError) as error:
        raise SettingsError(
            f"num_nodes is {config.num_nodes}, but nothing tells which of them this "
            "one is. Start the program by torchrun or srun on all of them, or set the "
            "variables NODE_RANK, MASTER_ADDR and MASTER_PORT."
        ) from error
    return Place(
        rank=node * config.devices,
        node=node,
        per_node=config.devices,
        nodes=config.num_nodes,
        address=address,
        port=port,
    )


def _refuse_unfit(config: Any, model: BaseModel) -> None:
    """Raise if a setting does not go with the strategy, the model or the machine."""
    chosen = layout(config)
    if chosen.needs_deepspeed:
        deepspeed_library()
    if model.quantization is not None and (
        chosen.divides_weights or chosen.needs_deepspeed
    ):
        raise SettingsError(
            f"strategy is '{config.strategy}', which takes weights apart, but those of "
            f"'{model.config_name}' are packed in {model.quantization.scheme}. Set "
            "strategy to ddp, or take a variant whose weights are whole."
        )
    allowed = ("adamw", "adam", "sgd") + ("cpu_adam",) * chosen.needs_deepspeed
    if chosen.divides_optimizer and config.optimizer_name not in allowed:
        raise SettingsError(
            f"optimizer_name is '{config.optimizer_name}', which cannot be divided as "
            f"strategy '{config.strategy}' does. Set it to {', '.join(allowed)}, or "
            "set strategy to ddp."
        )
    _refuse_missing_devices(config, model.engine.device.name)


def _refuse_missing_devices(config: Any, device: str) -> None:
    if device == "cuda" and config.devices > torch.cuda.device_count():
        raise SettingsError(
            f"devices is {config.devices}, but this machine has "
            f"{torch.cuda.device_count()} GPUs. Set devices to that, or to auto."
        )
    if device == "mps" and config.devices > 1:
        raise SettingsError(
            f"devices is {config.devices}, but there is one GPU, Apple's. Set it to 1."
        )
    cores = os.cpu_count() or 1
    if device == "cpu" and config.devices > cores:
        tell(
            Notice(
                text=f"devices is {config.devices}, but there are {cores} cores: the "
                "processes will wait for one another"
            )
        )
