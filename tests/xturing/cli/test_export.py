"""`xturing export`: what it writes, what it shows, and when it fails."""

import pytest

from xturing.models.exporting import exporter


def test_a_model_is_written_and_its_figures_are_shown(xturing, tiny_folder, tmp_path):
    options = ["--to", "gguf", "--scheme", "q8_0", "-o", tmp_path / "out"]
    done = xturing("export", tiny_folder, *options)
    assert done.code == 0
    assert (tmp_path / "out" / "model-q8_0.gguf").is_file()
    for text in ("q8_0", "Same first choice", "model-q8_0.gguf", "Saved to"):
        assert text in done.out


def test_the_folder_s_name_follows_from_the_model_and_the_format(
    xturing, tiny_folder, tmp_path
):
    done = xturing("export", tiny_folder, "--to", "safetensors")
    assert done.code == 0
    assert (tmp_path / f"{tiny_folder.name}-safetensors" / "config.json").is_file()


@pytest.fixture
def strict(monkeypatch):
    """No rounded weights agree so often."""
    monkeypatch.setattr(exporter, "LEAST_AGREEMENT", 1.01)


def test_too_great_a_difference_ends_with_code_3_and_keeps_the_files(
    xturing, strict, tiny_folder, tmp_path
):
    done = xturing("export", tiny_folder, "--to", "gguf", "-o", tmp_path / "out")
    assert done.code == 3
    assert "The result is not the model" in done.err
    assert (tmp_path / "out" / "model-f16.gguf").is_file()


def test_a_difference_can_be_accepted(xturing, strict, tiny_folder, tmp_path):
    options = ["--to", "gguf", "-o", tmp_path / "out", "--force"]
    assert xturing("export", tiny_folder, *options).code == 0


def test_a_folder_in_use_is_replaced_only_if_that_is_said(
    xturing, tiny_folder, tmp_path
):
    options = ["--to", "gguf", "-o", tmp_path / "out"]
    assert xturing("export", tiny_folder, *options).code == 0
    assert xturing("export", tiny_folder, *options).code == 1
    assert xturing("export", tiny_folder, *options, "--overwrite").code == 0


MISTAKES = {
    ("--to", "ggfu"): "There is no export format 'ggfu'",
    ("--to", "onnx", "--scheme", "f16"): "keeps weights as the model does",
    ("--to", "gguf", "--scheme", "int4"): "It has f16, q8_0, f32",
}


@pytest.mark.parametrize("options", MISTAKES)
def test_mistakes_are_told_before_the_model_is_opened(xturing, options, tmp_path):
    done = xturing("export", tmp_path / "nowhere", *options)
    assert (done.code, MISTAKES[options] in done.err) == (1, True)
