"""Every architecture that a family file names, tiny and random, through its whole life.

The models are opened by the family's own name, so its LoRA targets, its settings and
its way of writing are those that users get.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import tiny
import torch
from other_process import OtherProcess

from xturing.core.errors import ModelError, SettingsError
from xturing.data import InstructionDataset
from xturing.models import BaseModel, Variant, families
from xturing.models.variant import ADAPTERS, SCHEMES
from xturing.quant.layers import packed_weights
from xturing.quant.plan import targets
from xturing.train import FinetuneReport

FILES = sorted({family.file for family in families().values()} - {"generic", None})
QUESTIONS = ["say fox", "what is the capital of france, please?"]
STEPS = 3

every_architecture = pytest.mark.parametrize("file", FILES)
every_adapter = pytest.mark.parametrize("adapter", list(ADAPTERS))
every_scheme = pytest.mark.parametrize("scheme", list(SCHEMES))


@dataclass(frozen=True)
class Run:
    """A fine-tuned model, what its run said, and what its weights were before."""

    model: BaseModel
    report: FinetuneReport
    before: dict[str, torch.Tensor]


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory):
    """Return a function from a family file to a folder with its tiny architecture."""
    root = tmp_path_factory.mktemp("architectures")
    return cache(lambda file: tiny.save_folder(root / file, file))


@pytest.fixture(scope="session")
def run_of(folder_of, tmp_path_factory: pytest.TempPathFactory):
    """Return a function from a family file and a variant of it to a run, made once."""
    root = tmp_path_factory.mktemp("runs")

    @cache
    def run(name: str, file: str) -> Run:
        model = opened(name, folder_of(file))
        before = base_weights(model)
        return Run(model, taught(model, root / name), before)

    return lambda file, *variant: run(named(file, *variant), file)


@pytest.fixture(scope="session")
def other_process():
    process = OtherProcess()
    yield process
    process.close()


def named(file: str, adapter: str, scheme: str = "none") -> str:
    """Return the name of a variant of the file's first size."""
    first = next(family for family in families().values() if family.file == file)
    return Variant(first, adapter, scheme).name


def opened(name: str, folder: Path) -> BaseModel:
    model = BaseModel.create(name, weights_path=folder)
    model.generation_config().max_new_tokens = 8
    return model


def taught(model: BaseModel, output: Path) -> FinetuneReport:
    """Fine-tune a model: each step on the same rows, so that their loss has to fall."""
    rows = InstructionDataset(tiny.ROWS[:4])
    config = model.finetuning_config()
    config.output_dir = str(output)
    config.batch_size = len(rows)
    config.gradient_accumulation_steps = 1
    config.max_steps = STEPS
    config.max_length = 128
    config.validation_split = 0.0
    config.warmup_steps = 0
    config.learning_rate = 1e-2
    if model.variant.adapter == "lora":
        config.lora_dropout = 0.0
    return model.finetune(rows)


def greedy(model: BaseModel) -> list[str]:
    return tiny.greedy(model, QUESTIONS)


def same_elsewhere(model: BaseModel, folder: Path, process: OtherProcess) -> None:
    """Assert that a model answers alike when another process opens its folder."""
    reply = process.answers(folder, QUESTIONS)
    assert reply["name"] == model.config_name
    there = torch.tensor(reply["logits"])
    torch.testing.assert_close(there, tiny.logits(model), rtol=1e-4, atol=1e-4)
    assert reply["answers"] == greedy(model)


def base_weights(model: BaseModel) -> dict[str, torch.Tensor]:
    """Return copies of the weights without an adapter, by their names without one."""
    state = model.engine.model.state_dict()
    return {
        name.removeprefix("base_model.model.").replace(".base_layer.", "."): (
            tensor.clone()
        )
        for name, tensor in state.items()
        if "lora_" not in name
    }


@every_architecture
def test_every_family_has_a_tiny_architecture(file):
    assert file in tiny.CONFIGS


def is_trained(adapter: str, scheme: str) -> bool:
    return adapter == "lora" or scheme == "none"


@every_scheme
@every_adapter
@every_architecture
def test_a_variant_lives(
    file, adapter, scheme, run_of, folder_of, other_process, tmp_path
):
    """Created, taught where it can be, saved, and opened by another process."""
    if is_trained(adapter, scheme):
        run = run_of(file, adapter, scheme)
        model, folder = run.model, Path(run.report.output_dir)
        assert len(run.report.losses) == STEPS
        assert run.report.losses[-1] < run.report.losses[0]
        assert changed(run) == (adapter == "none")
    else:
        model, folder = opened(named(file, adapter, scheme), folder_of(file)), tmp_path
        with pytest.raises(SettingsError, match=f"Use '{named(file, 'lora', scheme)}'"):
            model.prepare_training()
        model.save(folder / "saved")
        folder = folder / "saved"
    same_elsewhere(model, folder, other_process)


def changed(run: Run) -> bool:
    """Tell whether training changed a bit of the base weights."""
    after = base_weights(run.model)
    assert after.keys() == run.before.keys()
    return any(not torch.equal(after[name], run.before[name]) for name in after)


@every_architecture
def test_no_weight_is_left_whole(file, folder_of):
    """Of the layers and experts, that is; embeddings and norms stay as they are."""
    model = opened(named(file, "none", "int4"), folder_of(file)).engine.model
    whole = [
        target.name
        for target in targets(model, skip=["embeddings"])
        if not packed_weights(target.module)
    ]
    assert not whole


@every_architecture
def test_a_merged_model_is_the_adapted_one(file, run_of, tmp_path):
    adapted = run_of(file, "lora", "int4")
    merged = BaseModel.load(adapted.report.output_dir).merge()
    expected = tiny.logits(adapted.model)
    # Few rows are multiplied by kernels that round what they are given to bfloat16.
    difference = (tiny.logits(merged) - expected).norm() / expected.norm()
    assert difference < 0.02
    merged.save(tmp_path / "merged")
    loaded = BaseModel.load(tmp_path / "merged")
    there, here = base_weights(loaded), base_weights(merged)
    assert there.keys() == here.keys()
    assert all(torch.equal(there[name], here[name]) for name in there)
    # Mamba multiplies weights by a batch; torch sums that up in another order when they
    # may learn, as those of `loaded` may, or lie elsewhere in a line of the cache.
    rtol, atol = (1e-5, 1e-4) if file == "mamba" else (0, 0)
    torch.testing.assert_close(
        tiny.logits(loaded), tiny.logits(merged), rtol=rtol, atol=atol
    )
    assert loaded.engine.quantization is None


@every_architecture
def test_every_adapted_layer_learns(file, run_of):
    """An adapter on a layer whose weights are read past it would stay at nothing."""
    model = run_of(file, "lora").model.engine.model
    learnt = {
        name: parameter.any().item()
        for name, parameter in model.named_parameters()
        if "lora_B" in name
    }
    assert learnt
    assert all(learnt.values()), learnt


@every_architecture
def test_a_family_writes_the_same_in_a_batch_as_alone(file, folder_of):
    model = opened(named(file, "none"), folder_of(file))
    together = greedy(model)
    assert together == [model.generate(texts=text) for text in QUESTIONS]


@every_architecture
def test_a_family_writes_in_its_own_way(file, folder_of):
    model = opened(named(file, "none"), folder_of(file))
    model.generation_config().seed = 0
    answers = model.generate(texts=QUESTIONS)
    assert answers == model.generate(texts=QUESTIONS)
    assert any(answers)


def test_contrastive_search_is_refused_where_nothing_is_cached(folder_of):
    model = opened("mamba", folder_of("mamba"))
    model.generation_config().penalty_alpha = 0.6
    with pytest.raises(SettingsError, match="penalty_alpha is set.*mamba keeps none"):
        model.generate(texts="say fox")


def test_all_linear_is_refused_where_weights_are_read_past_an_adapter(folder_of):
    model = BaseModel.create("generic_lora", model_name=str(folder_of("mamba")))
    with pytest.raises(ModelError, match="Mamba.*cannot be adapted so.*'out_proj'"):
        model.prepare_training()


@pytest.mark.parametrize("file", ["gemma3", "ministral_3"])
def test_of_a_model_that_sees_the_part_for_text_is_opened(file, tmp_path):
    whole = tiny.save_seeing_folder(tmp_path / "whole", file)
    model = opened(named(file, "lora"), tmp_path / "whole")
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11]])
    with torch.inference_mode():
        expected = whole(input_ids=ids).logits
    assert torch.equal(tiny.logits(model), expected)
    assert not any("vision" in name for name in base_weights(model))
    report = taught(model, tmp_path / "out")
    loaded = BaseModel.load(report.output_dir)
    assert torch.equal(tiny.logits(loaded), tiny.logits(model))
