import pytest
import torch

from xturing.models import BaseModel

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine"),
]


@pytest.mark.parametrize("fixture", ["tiny_model", "tiny_full_model"])
def test_fine_tuning_on_a_gpu_lowers_the_held_out_loss(fixture, rows, request):
    model = request.getfixturevalue(fixture)
    assert model.engine.device.name == "cuda"
    model.finetuning_config().num_train_epochs = 4
    report = model.finetune(rows)
    assert report.loss_after < report.loss_before
    assert BaseModel.load(report.output_dir).generate(texts="say fox")


@pytest.mark.parametrize(
    "strategy", ["ddp", "fsdp", "deepspeed_stage_2_offload", "deepspeed_stage_3"]
)
def test_a_strategy_trains_on_a_gpu(tiny_model, rows, strategy):
    tiny_model.finetuning_config().num_train_epochs = 4
    tiny_model.finetuning_config().strategy = strategy
    report = tiny_model.finetune(rows)
    assert report.loss_after < report.loss_before
    assert BaseModel.load(report.output_dir).generate(texts="say fox")
