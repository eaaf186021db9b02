"""`xturing verify` on a tiny model: what it shows, and the code it ends with."""

import json

import pytest
import tiny
from transformers.models.llama.modeling_llama import LlamaModel


@pytest.fixture
def said(tiny_folder, tmp_path):
    """Return the options that verify a tiny model on four rows, without compiling."""
    (tmp_path / "rows.json").write_text(json.dumps(tiny.ROWS))
    model = ["-m", "generic_lora", "--weights", tiny_folder]
    return [*model, "-d", "rows.json", "--rows", 4, "--skip", "compiling"]


@pytest.fixture
def blind(monkeypatch):
    """Have the model take no notice of which document a token is of."""
    real = LlamaModel.forward

    def forward(self, input_ids=None, attention_mask=None, **options):
        if attention_mask is not None and attention_mask.ndim == 4:
            attention_mask = input_ids.new_ones(input_ids.shape)
        return real(self, input_ids, attention_mask, **options)

    monkeypatch.setattr(LlamaModel, "forward", forward)


def test_what_agrees_is_shown_with_its_errors_and_the_code_is_0(xturing, said):
    done = xturing("verify", *said)
    assert done.code == 0
    assert "generic_lora on 4 rows of rows.json" in done.out
    assert "Everything agrees within 0.0001" in done.out
    (line,) = [each for each in done.out.splitlines() if "packing" in each]
    assert line.count("e-0") == 2
    assert line.endswith("passed")


def test_what_fails_is_explained_and_the_code_is_3(xturing, said, blind):
    done = xturing("verify", *said)
    assert done.code == 3
    assert "error: packing fails by" in done.err
    assert "do not pack rows for this model" in done.err
    assert "2 of" in done.out


def test_a_bound_can_be_set(xturing, said, blind):
    skip = ["--skip", "other documents"]
    assert xturing("verify", *said, *skip, "--bound", 1e9).code == 0


def test_the_report_can_be_had_as_json(xturing, said):
    done = xturing("verify", *said, "--json")
    found = json.loads(done.out)
    assert (done.code, found["passed"], found["rows"]) == (0, True, 4)
    assert {check["verdict"] for check in found["checks"]} == {"passed"}


def test_what_is_not_possible_is_said_with_its_reason(xturing, said):
    done = xturing("verify", *said, "--rows", 1)
    assert done.code == 0
    assert "packing is not possible: there is only one row" in done.err


def test_settings_are_those_of_training(xturing, said):
    done = xturing("verify", *said, "--set", "max_length=9")
    assert done.code == 1
    assert "more than max_length=9" in done.err


def test_an_unknown_check_is_refused(xturing, said):
    done = xturing("verify", *said, "--skip", "pakking")
    assert done.code == 1
    assert "'packing'" in done.err
