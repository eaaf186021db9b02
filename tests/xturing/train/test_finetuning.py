import json
import math
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest
import tiny
import torch

from xturing.core.errors import (
    DataError,
    LedgerError,
    OutputError,
    SettingsError,
    TrainingError,
)
from xturing.core.events import listening
from xturing.core.labels import IGNORE
from xturing.data import TextDataset
from xturing.models import BaseModel, GenericLoraModel
from xturing.models.settings import FinetuningConfig
from xturing.train import CheckpointSaved, StepEnded, schedule, scoring
from xturing.train.objectives import sft
from xturing.train.objectives.choosing import METHODS


def weights(model) -> dict[str, torch.Tensor]:
    state = model.engine.model.state_dict()
    return {name: tensor.clone() for name, tensor in state.items()}


def equal(ours, theirs) -> bool:
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name], theirs[name]) for name in ours
    )


def test_fine_tuning_lowers_the_held_out_loss(tiny_model, rows):
    tiny_model.finetuning_config().num_train_epochs = 4
    report = tiny_model.finetune(rows)
    assert report.loss_after < report.loss_before
    assert report.steps == len(report.losses) == 20


@pytest.mark.parametrize("fixture", ["tiny_model", "tiny_full_model"])
def test_the_result_is_in_the_output_folder__predecessor_fault_19(
    fixture, rows, request
):
    model = request.getfixturevalue(fixture)
    report = model.finetune(rows)
    loaded = BaseModel.load(report.output_dir)
    assert loaded.generate(texts="say fox") == model.generate(texts="say fox")
    assert loaded.evaluate(rows) == model.evaluate(rows)


def test_lora_leaves_the_base_weights_as_they_are_to_the_bit(tiny_model, rows):
    before = weights(tiny_model)
    tiny_model.finetune(rows)
    after = tiny_model.engine.model.get_base_model().state_dict()
    after = {name.replace(".base_layer", ""): value for name, value in after.items()}
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name


def test_full_fine_tuning_changes_every_weight(tiny_full_model, rows):
    before = weights(tiny_full_model)
    tiny_full_model.finetune(rows)
    after = weights(tiny_full_model)
    assert not any(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("batch_size", "accumulation", "tokens"),
    [(8, 1, None), (4, 2, None), (1, 8, None), (1, 8, "auto"), (8, 1, 60)],
)
def test_accumulation_changes_memory_and_not_learning__predecessor_fault_10(
    tiny_folder, tmp_path, rows, batch_size, accumulation, tokens
):
    def losses(batch_size, accumulation, tokens=None):
        model = GenericLoraModel(tiny_folder)
        config = model.finetuning_config()
        config.batch_size = batch_size
        config.gradient_accumulation_steps = accumulation
        config.micro_batch_tokens = tokens
        config.lora_dropout = 0.0
        config.learning_rate = 1e-2
        config.num_train_epochs = 3
        config.output_dir = str(tmp_path / f"{batch_size}x{accumulation}")
        return model.finetune(rows).losses

    assert losses(batch_size, accumulation, tokens) == pytest.approx(
        losses(2, 4) if accumulation == 1 else losses(8, 1), abs=1e-4
    )


def test_one_seed_gives_one_result_and_another_seed_another(
    tiny_folder, tmp_path, rows
):
    def tuned(seed, name):
        model = GenericLoraModel(tiny_folder)
        config = model.finetuning_config()
        config.seed, config.output_dir = seed, str(tmp_path / name)
        config.num_train_epochs = 1
        model.finetune(rows)
        return weights(model)

    torch.manual_seed(5)
    first = tuned(1, "a")
    torch.manual_seed(6)
    assert equal(tuned(1, "b"), first)
    assert not equal(tuned(2, "c"), first)


def test_the_caller_s_randomness_is_left_alone(tiny_model, rows):
    state = torch.random.get_rng_state()
    tiny_model.finetune(rows)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_every_setting_is_read__predecessor_fault_10(
    tiny_folder, tmp_path, rows, monkeypatch
):
    read: set[str] = set()
    original = FinetuningConfig.__getattribute__

    def spy(self, name):
        read.add(name)
        return original(self, name)

    model = GenericLoraModel(tiny_folder)
    config = model.finetuning_config()
    config.output_dir = str(tmp_path / "out")
    config.save_steps = config.eval_steps = 1
    monkeypatch.setattr(FinetuningConfig, "__getattribute__", spy)
    model.finetune(rows)
    for method in METHODS.values():
        method.make(config, 2)
    assert set(FinetuningConfig.model_fields) <= read


def test_encoded_rows_are_kept_where_the_settings_say(tiny_model, rows, tmp_path):
    config = tiny_model.finetuning_config()
    config.encoding_cache = str(tmp_path / "kept")
    tiny_model.finetune(rows)
    # Training rows and held-out rows are an entry each.
    assert len(list((tmp_path / "kept").glob("*/manifest.json"))) == 2


def test_the_learning_rate_follows_the_settings__predecessor_fault_11(tiny_model, rows):
    config = tiny_model.finetuning_config()
    config.learning_rate, config.warmup_steps, config.scheduler = 2e-3, 2, "constant"
    heard: list[StepEnded] = []
    with listening(lambda e: heard.append(e) if isinstance(e, StepEnded) else None):
        tiny_model.finetune(rows)
    rates = [step.learning_rate for step in heard]
    assert rates == pytest.approx([1e-3] + [2e-3] * 4)


def test_the_optimizer_is_given_the_rate_that_is_reported(
    tiny_model, rows, monkeypatch
):
    given: list[float] = []
    step = torch.optim.AdamW.step

    def spy(self, *args, **options):
        given.append(self.param_groups[0]["lr"])
        return step(self, *args, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    heard: list[StepEnded] = []
    with listening(lambda e: heard.append(e) if isinstance(e, StepEnded) else None):
        tiny_model.finetune(rows)
    assert given == pytest.approx([ended.learning_rate for ended in heard])


def test_more_than_a_hundred_rows_start_no_learning_rate_finder__predecessor_fault_11(
    tiny_model, monkeypatch
):
    from lightning.pytorch.tuner.tuning import Tuner

    def refuse(*_, **__):
        raise AssertionError("a learning rate finder was started")

    monkeypatch.setattr(Tuner, "lr_find", refuse)
    tiny_model.finetuning_config().max_steps = 3
    report = tiny_model.finetune(tiny.ROWS * 6)
    assert report.settings["learning_rate"] == 1e-2


def test_deepspeed_s_optimizer_is_not_freed_while_it_is_used(
    tiny_model, rows, monkeypatch
):
    """Lightning copies optimizers in passing; DeepSpeed's free their kernel at the end.

    The stand-in has the one trait of the real class that matters here.
    """
    freed: list[bool] = []

    class DeepSpeedCPUAdam(torch.optim.AdamW):
        def __init__(self, groups, lr, adamw_mode):
            super().__init__(groups, lr=lr)

        def __del__(self):
            freed.append(True)

        def step(self, closure=None):
            assert not freed
            return super().step(closure)

    for name in ("deepspeed", "deepspeed.ops", "deepspeed.ops.adam"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    adam = sys.modules["deepspeed.ops.adam"]
    monkeypatch.setattr(adam, "DeepSpeedCPUAdam", DeepSpeedCPUAdam, raising=False)
    tiny_model.finetuning_config().optimizer_name = "cpu_adam"
    report = tiny_model.finetune(rows)
    assert report.loss_after < report.loss_before


def test_a_token_has_the_same_say_in_a_step_of_short_rows_and_in_one_of_long_rows(
    tiny_folder, tmp_path
):
    # An epoch of small steps against the flow is one large one, taken as many times.
    rows = [
        {**row, "target": " and ".join([row["target"]] * (1 + 3 * (number % 2)))}
        for number, row in enumerate(tiny.ROWS[:8])
    ]
    moved = {}
    for steps in (1, 4):
        model = GenericLoraModel(tiny_folder)
        config = model.finetuning_config()
        config.optimizer_name, config.scheduler = "sgd", "constant"
        config.learning_rate, config.max_grad_norm = 1e-4, None
        config.lora_dropout, config.num_train_epochs = 0.0, 1
        config.validation_split, config.warmup_steps = 0, 0
        config.batch_size = len(rows) // steps
        config.output_dir = str(tmp_path / str(steps))
        model.finetune(rows)
        # These start from nothing, so they are what has been learnt.
        moved[steps] = torch.cat(
            [
                parameter.detach().flatten() / steps
                for name, parameter in model.engine.model.named_parameters()
                if "lora_B" in name
            ]
        )
    error = (moved[4] - moved[1]).norm() / moved[1].norm()
    assert error < 1e-2


def test_the_gradient_is_limited_to_max_grad_norm(tiny_full_model, rows):
    config = tiny_full_model.finetuning_config()
    config.optimizer_name, config.learning_rate = "sgd", 1.0
    config.max_grad_norm, config.max_steps, config.weight_decay = 1e-3, 1, 0.0
    before = weights(tiny_full_model)
    tiny_full_model.finetune(rows)
    after = weights(tiny_full_model)
    moved = math.sqrt(
        sum(float(((after[name] - before[name]) ** 2).sum()) for name in before)
    )
    assert moved == pytest.approx(1e-3, rel=1e-2)


def test_checkpoints_open_and_only_the_last_are_kept__predecessor_fault_19(
    tiny_model, rows
):
    config = tiny_model.finetuning_config()
    config.save_steps, config.save_total_limit = 1, 2
    folder = tiny_model.finetune(rows).output_dir
    kept = sorted(path.name for path in folder.glob("checkpoint-*"))
    assert kept == ["checkpoint-3", "checkpoint-4"]
    assert BaseModel.load(folder / "checkpoint-4").generate(texts="say fox")


def test_validation_comes_at_the_steps_that_were_set(tiny_model, rows):
    tiny_model.finetuning_config().eval_steps = 2
    report = tiny_model.finetune(rows)
    assert [validated.step for validated in report.validations] == [0, 2, 4, 5]


def test_a_run_that_no_longer_learns_is_stopped(tiny_model, rows):
    config = tiny_model.finetuning_config()
    config.learning_rate = 1e-12
    config.num_train_epochs, config.eval_steps = 10, 1
    config.early_stopping_patience = 2
    report = tiny_model.finetune(rows)
    assert report.stopped_early
    assert report.steps < 10


def test_rows_for_validation_can_be_given(tiny_model, rows):
    report = tiny_model.finetune(rows, eval_dataset=tiny.ROWS[:3])
    assert (report.ledger.rows, report.validation_ledger.rows) == (20, 3)


def test_no_rows_are_held_out_if_so_set(tiny_model, rows):
    tiny_model.finetuning_config().validation_split = 0
    report = tiny_model.finetune(rows)
    assert report.validations == ()
    assert report.ledger.rows == len(rows)


def test_the_ledger_is_written_and_agrees_with_the_loss(tiny_model, rows):
    tiny_model.finetuning_config().num_train_epochs = 3
    report = tiny_model.finetune(rows)
    written = json.loads((report.output_dir / "ledger.json").read_text())
    assert written["run"]["in_loss"] == 3 * written["training_rows"]["supervised"]
    assert written["run"]["planned"] == written["run"]["in_loss"]
    assert written["training_rows"]["truncated"] == 0


def test_padding_in_the_ledger_is_the_first_pass_s(tiny_model, rows):
    report = tiny_model.finetune(rows)
    assert report.run_ledger.padding == report.ledger.padding
    read = report.ledger.tokens - report.ledger.padding
    assert report.run_ledger.tokens == read


def test_a_loss_over_other_tokens_than_planned_is_an_error__predecessor_fault_1(
    tiny_model, rows, monkeypatch
):
    real = scoring.supervised_losses

    def lose_one(*args, **options):
        return real(*args, **options)[:-1]

    monkeypatch.setattr(scoring, "supervised_losses", lose_one)
    tiny_model.finetuning_config().validation_split = 0
    with pytest.raises(LedgerError, match="Step 1 was to teach .* entered the loss"):
        tiny_model.finetune(rows)


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (0, "Nothing that this model learnt can be trusted"),
        (0.1, "Nothing that is said of these rows can be trusted"),
    ],
)
def test_labels_that_are_lost_on_the_way_are_an_error__peer_theme_1(
    tiny_model, rows, monkeypatch, split, said
):
    real = sft.collate

    def lose_one(examples, pad_id):
        batch = real(examples, pad_id)
        batch.labels[0, len(examples[0]) - 2] = IGNORE
        return batch

    monkeypatch.setattr(sft, "collate", lose_one)
    tiny_model.finetuning_config().validation_split = split
    with pytest.raises(LedgerError, match=said):
        tiny_model.finetune(rows)


def test_metrics_are_written_at_the_steps_that_were_set(tiny_model, rows):
    tiny_model.finetuning_config().logging_steps = 2
    report = tiny_model.finetune(rows)
    lines = (report.output_dir / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    assert [line["step"] for line in steps if line["event"] == "StepEnded"] == [2, 4]
    assert [line["step"] for line in steps if line["event"] == "Validated"] == [0, 5]


def test_a_lightning_logger_is_given_the_metrics(tiny_model, rows, tmp_path):
    from lightning.pytorch.loggers import CSVLogger

    tiny_model.finetuning_config().logging_steps = 1
    logger = CSVLogger(tmp_path / "logs")
    report = tiny_model.finetune(rows, logger=logger)
    text = (next((tmp_path / "logs").rglob("metrics.csv"))).read_text()
    header, *lines = text.splitlines()
    assert {"loss", "learning_rate", "held_out_loss"} <= set(header.split(","))
    # The held-out rows are scored before the first step and after the last.
    assert len(lines) == 2 + report.steps


def test_the_report_is_written_with_the_source_of_each_setting(tiny_model, rows):
    report = tiny_model.finetune(rows)
    written = json.loads((report.output_dir / "report.json").read_text())
    assert written["settings"]["learning_rate"] == 1e-2
    assert written["sources"]["learning_rate"] == "assignment"
    assert written["steps"] == report.steps


def test_a_folder_in_use_is_refused_before_anything_is_done(tiny_model, rows, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(OutputError, match="in use"):
        tiny_model.finetune(rows)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_the_default_folder_gets_a_number_if_it_is_in_use(
    tiny_folder, tmp_path, rows, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folders = []
    for _ in range(2):
        model = GenericLoraModel(tiny_folder)
        model.finetuning_config().max_steps = 1
        folders.append(model.finetune(rows).output_dir.name)
    assert folders == ["saved_model", "saved_model-2"]


def test_a_row_that_is_too_long_leaves_no_folder_behind(tiny_model, rows, tmp_path):
    tiny_model.finetuning_config().max_length = 10
    with pytest.raises(DataError, match="rows have more than max_length=10"):
        tiny_model.finetune(rows)
    assert not (tmp_path / "out").exists()


def test_settings_that_do_not_fit_leave_no_folder_behind(
    tiny_full_model, rows, tmp_path
):
    tiny_full_model.finetuning_config().lora_rank = 4
    with pytest.raises(SettingsError, match="lora_rank is set"):
        tiny_full_model.finetune(rows)
    assert not (tmp_path / "out").exists()


def test_the_ledger_of_the_rows_is_there_even_if_the_run_is_stopped(tiny_model, rows):
    def interrupt(event):
        if isinstance(event, StepEnded):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), listening(interrupt):
        tiny_model.finetune(rows)
    folder = Path(tiny_model.finetuning_config().output_dir)
    ledger = json.loads((folder / "ledger.json").read_text())
    assert ledger["training_rows"]["rows"] == 18
    assert ledger["run"] is None


def test_a_length_beyond_what_the_model_reads_is_refused(tiny_model, rows):
    tiny_model.finetuning_config().max_length = 1000
    with pytest.raises(SettingsError, match="reads at most 512 tokens"):
        tiny_model.finetune(rows)


def test_a_loss_that_is_no_number_ends_the_run_with_advice(tiny_full_model, rows):
    tiny_full_model.finetuning_config().learning_rate = 1e30
    tiny_full_model.finetuning_config().num_train_epochs = 5
    with pytest.raises(TrainingError, match="learning rate 1e.30 is likely too high"):
        tiny_full_model.finetune(rows)


def test_ctrl_c_keeps_a_checkpoint_and_stays_ctrl_c(tiny_model, rows):
    handler = signal.getsignal(signal.SIGINT)
    saved: list[CheckpointSaved] = []

    def interrupt(event):
        if isinstance(event, CheckpointSaved):
            saved.append(event)
        if isinstance(event, StepEnded) and event.step == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), listening(interrupt):
        tiny_model.finetune(rows)
    assert signal.getsignal(signal.SIGINT) is handler
    assert [event.step for event in saved] == [2]
    BaseModel.load(saved[0].path)


def test_texts_are_learnt_too(tiny_model):
    texts = TextDataset({"text": ["the quick brown fox"] * 20})
    tiny_model.finetuning_config().num_train_epochs = 3
    report = tiny_model.finetune(texts)
    assert report.loss_after < report.loss_before


def test_a_second_run_goes_on_with_the_adapter(tiny_model, rows, tmp_path):
    first = tiny_model.finetune(rows)
    tiny_model.finetuning_config().output_dir = str(tmp_path / "second")
    second = tiny_model.finetune(rows)
    assert second.loss_before == pytest.approx(first.loss_after, abs=1e-6)


def test_a_run_writes_nothing_to_the_terminal(tiny_model, rows, capfd):
    report = tiny_model.finetune(rows)
    BaseModel.load(report.output_dir).generate(texts="say fox")
    assert capfd.readouterr() == ("", "")


def test_each_epoch_has_an_order_of_its_own(tiny_model, rows, monkeypatch):
    planned: list[int] = []
    real = schedule.plan_epoch

    def spy(lengths, **options):
        planned.append(options["epoch"])
        return real(lengths, **options)

    monkeypatch.setattr(schedule, "plan_epoch", spy)
    tiny_model.finetuning_config().num_train_epochs = 3
    tiny_model.finetune(rows)
    # The first time is for the ledger, which books the first epoch's padding.
    assert planned == [0, 0, 1, 2]
