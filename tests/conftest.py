"""What all tests share: tiny models, the real model, and real rows."""

import os
from pathlib import Path

import pytest
import tiny
from command import xturing  # noqa: F401  # a fixture for all
from hypothesis import settings

from xturing.data import InstructionDataset
from xturing.models import BaseModel, GenericLoraModel, GenericModel

# A busy machine is no reason to fail.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")

SHARED = Path(__file__).parents[2] / "shared" / "data"


def pytest_configure() -> None:
    # The processes that pytest starts, and those that they start, take a thread each:
    # together they have all the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def tokenizer():
    return tiny.tokenizer()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_folder(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def tiny_gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "gpt2"
    return tiny.save_folder(folder, "gpt2", chat_template=None)


@pytest.fixture
def tiny_model(tiny_folder: Path, tmp_path: Path) -> BaseModel:
    """Return a LoRA model that trains in a folder of the test's own."""
    return for_test(GenericLoraModel(tiny_folder), tmp_path)


@pytest.fixture
def tiny_full_model(tiny_folder: Path, tmp_path: Path) -> BaseModel:
    return for_test(GenericModel(tiny_folder), tmp_path)


def for_test(model: BaseModel, tmp_path: Path) -> BaseModel:
    config = model.finetuning_config()
    config.output_dir = str(tmp_path / "out")
    config.learning_rate = 1e-2
    config.batch_size = 4
    config.num_train_epochs = 1
    config.max_length = 128
    # Answers take half of the time of so small a run.
    config.report_samples = 0
    model.generation_config().max_new_tokens = 12
    return model


@pytest.fixture
def rows() -> InstructionDataset:
    return InstructionDataset(tiny.ROWS)


@pytest.fixture(scope="session")
def smollm2() -> BaseModel:
    """Return the real default model; tests must leave it as it is."""
    return BaseModel.create("smollm2")


@pytest.fixture
def alpaca() -> Path:
    file = SHARED / "alpaca_en.json"
    if not file.is_file():
        pytest.skip("the real Alpaca rows are kept beside the project, not in it")
    return file


@pytest.fixture
def gsm8k() -> Path:
    file = SHARED / "gsm8k_300.jsonl"
    if not file.is_file():
        pytest.skip("the real school sums are kept beside the project, not in it")
    return file


@pytest.fixture
def preferences() -> Path:
    file = SHARED / "preference_en.json"
    if not file.is_file():
        pytest.skip("the real preferences are kept beside the project, not in it")
    return file


@pytest.fixture
def letter() -> Path:
    file = SHARED / "documents" / "investor_letter.pdf"
    if not file.is_file():
        pytest.skip("the real documents are kept beside the project, not in it")
    return file
