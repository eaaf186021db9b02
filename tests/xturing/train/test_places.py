"""Which processes a run has, before any of them takes a step."""

import builtins
import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import SettingsError, TrainingError
from xturing.core.events import Notice, listening
from xturing.models import GenericLoraKbitModel, GenericLoraModel
from xturing.models.device import Device
from xturing.models.settings import FinetuningConfig
from xturing.train.strategies.choosing import LAYOUTS, working_together
from xturing.train.strategies.launching import Helpers, refuse_unrepeatable
from xturing.train.strategies.place import Place, given_place
from xturing.train.strategies.shares import shares

SLURM = {
    "SLURM_NTASKS": "4",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_NNODES": "2",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_JOB_ID": "1234567",
    "SLURM_NODELIST": "node[7-8]",
}
TORCHRUN = {
    "RANK": "3",
    "LOCAL_RANK": "1",
    "GROUP_RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node7",
    "MASTER_PORT": "2345",
    "TORCHELASTIC_RUN_ID": "run",
}


@pytest.fixture
def environment(monkeypatch):
    """Return what sets variables, among which none is of a launcher's."""
    launchers = "SLURM_", "MASTER_", "TORCHELASTIC_"
    for name in os.environ:
        if name.startswith(launchers):
            monkeypatch.delenv(name)
    # What Lightning sets by itself is unset again afterwards.
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def change(values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return change


micro_batches = st.lists(st.integers(1, 6), min_size=1, max_size=7).map(
    lambda sizes: [
        tuple(range(sum(sizes[:n]), sum(sizes[: n + 1]))) for n in range(len(sizes))
    ]
)


@given(micro_batches, st.integers(1, 5))
def test_every_row_is_learnt_once_by_one_process(micro_batches, world_size):
    dealt = shares(micro_batches, world_size)
    learnt = [
        row for own in dealt for share in own if share.counts for row in share.rows
    ]
    assert sorted(learnt) == list(range(sum(map(len, micro_batches))))


@given(micro_batches, st.integers(1, 5))
def test_all_processes_take_as_many_passes_as_the_longest_has_to(
    micro_batches, world_size
):
    dealt = shares(micro_batches, world_size)
    assert {len(own) for own in dealt} == {math.ceil(len(micro_batches) / world_size)}


@given(micro_batches, st.integers(1, 5))
def test_a_micro_batch_is_repeated_only_where_there_are_too_few_rows(
    micro_batches, world_size
):
    dealt = shares(micro_batches, world_size)
    repeated = sum(not share.counts for own in dealt for share in own)
    passes = sum(len(own) for own in dealt)
    assert repeated == max(passes - sum(map(len, micro_batches)), 0)


@given(micro_batches)
def test_one_process_takes_the_micro_batches_as_they_are(micro_batches):
    (own,) = shares(micro_batches, 1)
    assert [share.rows for share in own] == micro_batches


def test_a_process_that_nothing_started_is_on_its_own(environment):
    assert given_place() is None


def test_slurm_says_where_a_process_is(environment):
    environment(SLURM)
    place = given_place()
    assert place == Place(
        rank=3,
        local_rank=1,
        node=1,
        per_node=2,
        nodes=2,
        address="node7",
        port=15000 + 4567,
    )


def test_torchrun_says_where_a_process_is(environment):
    environment(TORCHRUN)
    place = given_place()
    assert place == Place(
        rank=3, local_rank=1, node=1, per_node=2, nodes=2, address="node7", port=2345
    )
    assert place.variables == TORCHRUN | {"TORCHELASTIC_RUN_ID": "xturing"}


def test_slurm_has_to_say_how_many_processes_a_machine_has(environment):
    environment(SLURM)
    del os.environ["SLURM_NTASKS_PER_NODE"]
    with pytest.raises(SettingsError, match="--ntasks-per-node in place of --ntasks"):
        given_place()


def device(name):
    return Device(name, torch.float32, "a test says so")


def entered(model, **settings):
    """Enter a run with these settings, as far as its checks go."""
    config = FinetuningConfig(**settings)
    with working_together(config, model):
        raise AssertionError("it was not refused")


@pytest.fixture
def llama(tiny_folder):
    return GenericLoraModel(tiny_folder)


def test_devices_that_are_not_those_of_torchrun_are_refused(environment, llama):
    environment(TORCHRUN)
    with pytest.raises(SettingsError, match=r"devices is 3 .*one of 2 on each of 2"):
        entered(llama, devices=3)


def test_machines_that_nothing_tells_apart_are_refused(environment, llama):
    with pytest.raises(SettingsError, match="by torchrun or srun on all of them"):
        entered(llama, num_nodes=2)


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed_stage_3", "deepspeed_stage_2"])
def test_packed_weights_are_not_taken_apart(environment, tiny_folder, strategy):
    with pytest.raises(SettingsError, match=r"packed in int4.* Set strategy to ddp"):
        entered(GenericLoraKbitModel(tiny_folder), strategy=strategy)


@pytest.mark.parametrize(
    ("strategy", "optimizer"),
    [("fsdp", "cpu_adam"), ("deepspeed_stage_1", "adafactor")],
)
def test_an_optimizer_that_cannot_be_divided_is_refused(
    environment, llama, strategy, optimizer
):
    with pytest.raises(SettingsError, match=f"'{optimizer}', which cannot be divided"):
        entered(llama, strategy=strategy, optimizer_name=optimizer)


def test_deepspeed_is_asked_for_by_name(environment, llama, monkeypatch):
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(ImportError, match=r'pip install "xturing-train\[deepspeed\]"'):
        entered(llama, strategy="deepspeed_stage_2")


def test_gpus_that_are_not_there_are_refused(environment, llama, monkeypatch):
    llama.engine.device = device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(
        SettingsError, match="devices is 8, but this machine has 2 GPUs"
    ):
        entered(llama, devices=8)


def test_more_processes_than_cores_are_told_of(environment, llama, monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    told: list = []
    with listening(told.append), pytest.raises(SettingsError):
        entered(llama, devices=4096)
    (notice,) = told
    assert isinstance(notice, Notice)
    assert "devices is 4096, but there are" in notice.text


def test_auto_devices_are_all_gpus(environment, llama, monkeypatch):
    llama.engine.device = device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    # Four processes cannot be started from a prompt; one would not have to be.
    with pytest.raises(SettingsError, match="Several processes were asked for"):
        entered(llama, devices="auto")


def test_auto_devices_of_a_machine_without_gpu_are_one(environment, llama):
    with working_together(FinetuningConfig(devices="auto"), llama) as (config, all_):
        assert (config.devices, all_.count) == (1, 1)


@pytest.mark.parametrize("name", ["sys.ps1", "get_ipython"])
def test_a_notebook_is_not_started_again(monkeypatch, name):
    where = sys if name == "sys.ps1" else builtins
    monkeypatch.setattr(where, name.removeprefix("sys."), "", raising=False)
    with pytest.raises(SettingsError, match="a notebook, a prompt, standard input"):
        refuse_unrepeatable(0)


def test_standard_input_is_not_started_again():
    program = (
        "from xturing.train.strategies.launching import refuse_unrepeatable\n"
        "refuse_unrepeatable(0)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-"],
        input=program,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Put it in a file and run that" in ended.stderr


def test_a_program_that_fine_tuned_before_is_not_started_again():
    with pytest.raises(SettingsError, match="torchrun --nproc-per-node"):
        refuse_unrepeatable(1)


def helped(monkeypatch, program):
    """Return helpers of whom one was started, as if this program were another one."""
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-c", program])
    helpers = Helpers()
    helpers.start(1, Place(rank=1, local_rank=1, per_node=2, port=1).variables)
    return helpers


def test_a_helper_that_ends_too_early_is_reported_with_its_last_words(monkeypatch):
    helpers = helped(monkeypatch, "raise SystemExit('no more memory')")
    with pytest.raises(TrainingError, match=r"Process 1 .*code 1.*\n*no more memory"):
        helpers.wait_until(lambda: False)
    helpers.end()


def test_a_helper_knows_its_place(monkeypatch):
    program = (
        "from os import environ as known\n"
        "raise SystemExit(known['LOCAL_RANK'] + ' of ' + known['WORLD_SIZE'])"
    )
    helpers = helped(monkeypatch, program)
    failure = helpers.failure()
    helpers.end()
    assert "1 of 2" in str(failure)


def test_a_helper_that_does_not_end_is_killed(monkeypatch):
    helpers = helped(monkeypatch, "import signal; signal.pause()")
    helpers.patience = 0.0
    helpers.end()
    assert helpers.ranks == []


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_settings_for_gpus_are_those_of_the_documentation(llama, name):
    network = llama.prepare_training()
    layout = LAYOUTS[name].make(network)
    place = Place(per_node=8)
    options = layout.options(place, "cuda", "bf16-mixed", 2.0)
    strategy = options["strategy"]
    assert strategy.process_group_backend == "nccl"
    if name.startswith("deepspeed"):
        config = strategy.config
        zero = config["zero_optimization"]
        assert strategy.precision_plugin.precision == "bf16-mixed"
        assert zero["stage"] == int(name.split("_")[2])
        assert ("offload_optimizer" in zero) == name.endswith("offload")
        assert ("offload_param" in zero) == (name == "deepspeed_stage_3_offload")
        assert config["gradient_clipping"] == 2.0
    else:
        assert options["precision"] == "bf16-mixed"
