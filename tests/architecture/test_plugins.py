"""A package from outside adds names of every kind, and nothing here knows of it.

The template of `tools/plugin_template` is built, installed into a folder, and used by a
program that has this folder on its path.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

pytestmark = pytest.mark.slow

TEMPLATE = Path(__file__).parents[2] / "tools" / "plugin_template"
PROGRAM = """
import json, sys
from pathlib import Path

import torch
from xturing.data import InstructionDataset
from xturing.data.sources import SOURCES
from xturing.eval import METRICS, evaluate
from xturing.models import BaseModel, Variant
from xturing.models.family import families
from xturing.models.inference import ENGINES, Decoding, Request, complete, open_engine
from xturing.quant import BACKENDS, dequantize, load, quantize, save
from xturing.selfinstruct import CLIENTS, ask

folder, weights = map(Path, sys.argv[1:])
registries = families(), BACKENDS, CLIENTS, METRICS, ENGINES, SOURCES
found = {"listed": [each.group for each in registries if "example" in each]}

config = Variant.parse("example_lora").finetuning_config()
found["sources"] = [config.sources[name] for name in ("lora_targets", "batch_size")]
model = BaseModel.create("example_lora", weights_path=weights)
model.generation_config().max_new_tokens = 4
found["written"] = model.answers(texts=["hello"])[0].tokens

torch.manual_seed(0)
dense = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.Linear(8, 8, bias=False))
small = quantize(dense, "int8", backend="example")
again = dequantize(small)
found["kinds"] = [[type(part).__name__ for part in each] for each in (small, again)]
found["error"] = (again[0].weight - dense[0].weight).abs().max().item()
found["step"] = dense[0].weight.abs().max().item() / 127
save(small, folder / "small")
x = torch.randn(3, 16)
found["same"] = bool(torch.equal(load(dense, folder / "small")(x), small(x)))

found["answers"] = ask("example:words", ["one two three"], folder / "asked")

file = folder / "rows.example"
file.write_text("say fox and dog | dog then fox\\nsay hello | hello\\n")
rows = InstructionDataset(file)
found["read"] = len(rows)
scored = evaluate(model, rows, metrics=["example"])
found["score"] = scored.results[0].score("example").value

engine = open_engine(model, "example")
request = Request(prompt=(5, 6, 7), decoding=Decoding(max_new_tokens=3))
found["completed"] = len(complete(engine, [request])[0].tokens)
engine.close()
print("FOUND", json.dumps(found))
"""


def run(*command, **environment):
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return what a program makes of the template's names, once it is installed."""
    work = tmp_path_factory.mktemp("plugin")
    run("uv", "build", "--offline", "--wheel", "--out-dir", work / "built", TEMPLATE)
    (wheel,) = (work / "built").glob("*.whl")
    place = work / "installed"
    run("uv", "pip", "install", "--offline", "--no-deps", "--target", place, wheel)
    weights = tiny.save_folder(work / "weights")
    output = run(*(sys.executable, "-c", PROGRAM, work, weights), PYTHONPATH=str(place))
    return json.loads(output.partition("FOUND")[2])


def test_its_names_are_listed_beside_ours(found):
    assert found["listed"] == [
        *("xturing.families", "xturing.quant_backends", "xturing.text_generation"),
        *("xturing.metrics", "xturing.engines", "xturing.dataset_sources"),
    ]


def test_its_family_sets_what_its_variants_are_tuned_by(found):
    assert set(found["sources"]) == {"family example"}


def test_a_variant_of_its_family_writes(found):
    assert 1 <= found["written"] <= 4


def test_its_backend_takes_a_linear_layer_and_gives_it_back(found):
    assert found["kinds"] == [["Rows"] * 2, ["Linear"] * 2]
    # Rounding to the nearest step is off by half of one at most.
    assert 0 < found["error"] <= found["step"] * 0.501


def test_what_its_backend_saved_computes_the_same(found):
    assert found["same"]


def test_its_client_answers(found):
    assert found["answers"] == ["three two one"]


def test_its_source_reads_rows(found):
    assert found["read"] == 2


def test_its_metric_scores_rows(found):
    assert found["score"] > 0


def test_its_engine_answers(found):
    assert 1 <= found["completed"] <= 3


def test_nothing_of_it_is_in_the_repository_s_own_environment():
    from xturing.quant import BACKENDS

    assert "example" not in BACKENDS
