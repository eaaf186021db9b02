"""Which of a run's processes this one is, as far as the environment tells.

torchrun and SLURM say it in variables; processes that a run starts by itself are told
in torchrun's. Lightning reads the same ones.
"""

import os
from dataclasses import dataclass, replace

from lightning.fabric.plugins.environments.cluster_environment import (
    ClusterEnvironment,
)
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from xturing.core.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Place:
    """One process among those of a run."""

    rank: int = 0
    """Its number among all."""
    local_rank: int = 0
    """Its number on its machine."""
    node: int = 0
    """The number of its machine."""
    per_node: int = 1
    """Processes on each machine."""
    nodes: int = 1
    address: str = "127.0.0.1"
    """Of the machine with the first process."""
    port: int = 0

    @property
    def world_size(self) -> int:
        """The number of all processes."""
        return self.per_node * self.nodes

    def all(self) -> "list[Place]":
        """Return the places of all processes."""
        return [
            replace(self, rank=rank, local_rank=rank % self.per_node)
            for rank in range(self.world_size)
        ]

    @property
    def variables(self) -> dict[str, str]:
        """What torchrun would set for the process."""
        return {
            "RANK": str(self.rank),
            "LOCAL_RANK": str(self.local_rank),
            "GROUP_RANK": str(self.node),
            "WORLD_SIZE": str(self.world_size),
            "LOCAL_WORLD_SIZE": str(self.per_node),
            "MASTER_ADDR": self.address,
            "MASTER_PORT": str(self.port),
            "TORCHELASTIC_RUN_ID": "xturing",
        }


ALONE = Place()


def environment() -> ClusterEnvironment | None:
    """Return what started this process as one of several, or None.

    Raises:
        SettingsError: SLURM was asked in a way that leaves machines open.
    """
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    # Lightning would warn of a `srun` that is there and not used.
    if "SLURM_NTASKS" not in os.environ or not SLURMEnvironment.detect():
        return None
    try:
        # Runs are saved when SIGTERM comes, and resumed by whoever started them.
        return SLURMEnvironment(auto_requeue=False)
    except RuntimeError as error:
        raise SettingsError(
            f"SLURM gives {os.environ['SLURM_NTASKS']} tasks, but not how many of them "
            "a machine has. Ask by --ntasks-per-node in place of --ntasks."
        ) from error


def given_place() -> Place | None:
    """Return where torchrun or SLURM has put this process; None: it is on its own.

    Raises:
        SettingsError: SLURM was asked in a way that leaves machines open.
    """
    found = environment()
    if found is None:
        return None
    slurm = isinstance(found, SLURMEnvironment)
    total = found.world_size()
    nodes = int(os.environ.get("SLURM_NNODES", "1")) if slurm else None
    per_node = total // nodes if nodes else int(os.environ["LOCAL_WORLD_SIZE"])
    return Place(
        rank=found.global_rank(),
        local_rank=found.local_rank(),
        node=found.node_rank(),
        per_node=per_node,
        nodes=total // per_node,
        address=found.main_address,
        port=found.main_port,
    )
