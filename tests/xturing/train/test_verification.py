"""`verify` passes where all is well, and fails where something is broken on purpose."""

import inspect
import json
import re
from dataclasses import replace
from functools import cache
from itertools import count

import pytest
import tiny
import torch
from transformers.models.gpt2.modeling_gpt2 import GPT2Model
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaModel

from xturing.core.errors import CompileError, SettingsError, UnknownNameError
from xturing.core.events import listening
from xturing.core.labels import IGNORE
from xturing.data import InstructionDataset, TextDataset, open_dataset
from xturing.models import (
    BaseModel,
    GenericLoraModel,
    GenericModel,
    Variant,
    compiling,
    families,
)
from xturing.train import Checked, Verification, scoring, verify
from xturing.train.objectives.sft import Supervised
from xturing.train.verification import ways

ROWS = [
    {**row, "target": " and ".join([row["target"]] * (1 + number % 4))}
    for number, row in enumerate(tiny.ROWS)
]
"""Answers of differing lengths."""
POSSIBLE = {
    "loss mask",
    "later tokens",
    "padding",
    "other rows",
    "accumulation",
    "loss",
    "checkpointing",
}
"""Checks that every model allows."""
FOLDED = {"folding"}
"""The check that an adapter beside whole weights allows."""
PACKED = {"other documents", "packing"}


@pytest.fixture(scope="session")
def model_of(tmp_path_factory):
    """Return a function from a family file to a LoRA model of its tiny architecture."""
    root = tmp_path_factory.mktemp("architectures")

    @cache
    def model(file: str) -> BaseModel:
        first = next(family for family in families().values() if family.file == file)
        folder = tiny.save_folder(root / file, file)
        return BaseModel.create(Variant(first, "lora").name, weights_path=folder)

    return model


def verified(model, dataset, *, skip=(), **options) -> Verification:
    """Verify without compiling, which takes most of the time."""
    return verify(model, dataset, skip=["compiling", *skip], **options)


def verdicts(found: Verification) -> dict[str, set[str]]:
    """Return the names of the checks by what came of them."""
    kinds = {check.verdict for check in found.checks}
    return {
        kind: {check.name for check in found.checks if check.verdict == kind}
        for kind in kinds
    }


@pytest.mark.parametrize(
    "file", ["deepseek", "gptj", "llama", "mixtral", "opt", "qwen3", "smollm3"]
)
def test_models_that_can_pack_pass_everything(model_of, file):
    found = verified(model_of(file), ROWS)
    assert verdicts(found) == {"passed": POSSIBLE | PACKED | FOLDED}
    assert all(0 <= (check.largest_error or 0) < 1e-5 for check in found.checks)


@pytest.mark.slow
def test_compiled_blocks_pass_too(model_of):
    found = verify(model_of("llama"), ROWS, rows=4)
    assert verdicts(found) == {"passed": POSSIBLE | PACKED | FOLDED | {"compiling"}}


def test_where_there_is_no_compiler_it_is_not_possible_and_why(monkeypatch, tiny_model):
    def missing(_model):
        raise CompileError("InvalidCxxCompiler: No working C++ compiler found")

    monkeypatch.setattr(compiling, "_try_out", missing)
    found = verify(tiny_model, ROWS, rows=2)
    (check,) = [each for each in found.checks if each.name == "compiling"]
    assert (found.passed, check.verdict) == (True, "not possible")
    assert "No working C++ compiler" in check.reason


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("bloom", "takes no positions"),
        ("mamba", "takes no positions"),
        ("mistral", "look back over 8 tokens"),
        ("gemma3", "look back over 8 tokens"),
    ],
)
def test_what_an_architecture_cannot_do_is_not_passed_but_not_possible(
    model_of, file, why
):
    found = verified(model_of(file), ROWS)
    assert verdicts(found) == {"passed": POSSIBLE | FOLDED, "not possible": PACKED}
    reasons = [each.reason for each in found.checks if each.verdict == "not possible"]
    assert all(why in reason for reason in reasons)


def test_all_weights_may_be_trained(tiny_folder):
    found = verified(GenericModel(tiny_folder), ROWS)
    assert verdicts(found) == {"passed": POSSIBLE | PACKED, "not possible": FOLDED}


def test_weights_that_are_kept_transposed_are_verified(model_of):
    found = verified(model_of("gpt2"), ROWS)
    assert verdicts(found) == {"passed": POSSIBLE | PACKED, "not possible": FOLDED}


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_quantized_weights_are_verified_as_strictly(tiny_folder, scheme):
    name = f"generic_lora_{scheme}"
    found = verified(BaseModel.create(name, weights_path=tiny_folder), ROWS, rows=4)
    assert (found.passed, found.bound) == (True, 1e-4)


def test_plain_texts_are_verified(tiny_folder):
    texts = TextDataset([{"text": row["target"]} for row in ROWS])
    found = verified(GenericLoraModel(tiny_folder), texts)
    assert verdicts(found) == {"passed": POSSIBLE | PACKED | FOLDED}


def test_conversations_of_many_turns_are_verified(tiny_folder):
    chat = [
        {"role": "user", "content": "say fox"},
        {"role": "assistant", "content": "fox"},
        {"role": "user", "content": "say dog"},
        {"role": "assistant", "content": "the dog"},
    ]
    rows = [{"messages": chat}, {"messages": chat[:2]}]
    found = verified(GenericLoraModel(tiny_folder), open_dataset(rows))
    assert verdicts(found) == {"passed": POSSIBLE | PACKED | FOLDED}


@pytest.mark.parametrize("policy", ["truncate", "keep-answer"])
def test_rows_that_were_cut_are_verified(tiny_folder, policy):
    model = GenericLoraModel(tiny_folder)
    config = model.finetuning_config()
    config.max_length, config.length_policy = 34, policy
    assert verified(model, ROWS, skip=["packing"]).passed


# Broken on purpose.


def wrap(monkeypatch, kind, change):
    """Have every call of a class's forward get other arguments, by their names."""
    real = kind.forward
    names = list(inspect.signature(real).parameters)[1:]

    def changed(self, *args, **options):
        return real(self, **change(dict(zip(names, args, strict=False)) | options))

    monkeypatch.setattr(kind, "forward", changed)


def ignores_the_documents(monkeypatch):
    def plain(options):
        mask = options["attention_mask"]
        if mask is not None and mask.ndim == 4:
            ids = options["input_ids"]
            options["attention_mask"] = torch.ones_like(ids)
        return options

    wrap(monkeypatch, LlamaModel, plain)


def looks_ahead(monkeypatch):
    def everything(options):
        length = options["input_ids"].shape[1]
        if options["attention_mask"] is None:
            options["attention_mask"] = torch.zeros(1, 1, length, length)
        return options

    wrap(monkeypatch, LlamaModel, everything)


def ignores_positions(monkeypatch):
    wrap(monkeypatch, GPT2Model, lambda options: options | {"position_ids": None})


def sees_other_rows(monkeypatch):
    real = LlamaDecoderLayer.forward

    def mixed(self, hidden, *args, **options):
        return real(self, hidden + hidden.mean(0, keepdim=True), *args, **options)

    monkeypatch.setattr(LlamaDecoderLayer, "forward", mixed)


def computes_otherwise_the_second_time(monkeypatch):
    real, calls = LlamaDecoderLayer.forward, count()

    def drifting(self, hidden, *args, **options):
        return real(self, hidden * (1 + next(calls) / 100), *args, **options)

    monkeypatch.setattr(LlamaDecoderLayer, "forward", drifting)


def learns_prompts(batch):
    shown = batch.attention_mask == 1
    shown[:, 0] = False
    batch.labels[shown] = batch.input_ids[shown]


def learns_one_place_late(batch):
    learnt = batch.labels != IGNORE
    learnt[:, 1:], learnt[:, 0] = learnt[:, :-1].copy(), False
    batch.labels[:] = IGNORE
    batch.labels[learnt] = batch.input_ids[learnt]


def learns_what_stands_before(batch):
    learnt = batch.labels != IGNORE
    before = batch.input_ids.copy()
    before[:, 1:] = batch.input_ids[:, :-1]
    batch.labels[learnt] = before[learnt]


def learns_no_ends(batch):
    batch.labels[batch.input_ids == 2] = IGNORE


def learns_padding(batch):
    padding = batch.attention_mask == 0
    batch.labels[padding] = batch.input_ids[padding]


def learns_nothing_of_one_row(batch):
    batch.labels[-1] = IGNORE


@pytest.mark.parametrize(
    ("damage", "architecture", "failing"),
    [
        (ignores_the_documents, "llama", PACKED),
        (looks_ahead, "llama", {"later tokens", "padding", "accumulation", "packing"}),
        (ignores_positions, "gpt2", {"packing"}),
        (sees_other_rows, "llama", {"other rows", "accumulation"}),
        (computes_otherwise_the_second_time, "llama", {"checkpointing"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_model_fails__peer_theme_9(
    monkeypatch, model_of, damage, architecture, failing
):
    model = model_of(architecture)
    damage(monkeypatch)
    found = verified(model, ROWS)
    assert failing <= {check.name for check in found.failed}
    assert all(check.reason for check in found.failed)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (learns_prompts, "is learnt where the answer '.*' and one end token should"),
        (learns_one_place_late, "is learnt where the answer"),
        (learns_what_stands_before, "labels are not the tokens that stand at"),
        (learns_no_ends, "is learnt where the answer"),
        (learns_padding, "padding is learnt"),
        (learns_nothing_of_one_row, "nothing is learnt"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_loss_mask_fails__peer_theme_1(
    monkeypatch, tiny_model, damage, reason
):
    real = Supervised.collate

    def broken(self, units):
        batch = real(self, units)
        damage(batch)
        return batch

    monkeypatch.setattr(Supervised, "collate", broken)
    skipped = [comparison.name for comparison in ways.COMPARISONS]
    (failed, *_) = verified(tiny_model, ROWS, skip=skipped).failed
    assert failed.name == "loss mask"
    assert re.match("the list, row [0-9]+: ", failed.reason)
    assert re.search(reason, failed.reason)


def test_an_answer_that_is_left_out_fails__peer_theme_1(monkeypatch, tiny_model):
    chat = [
        {"role": "user", "content": "say fox"},
        {"role": "assistant", "content": "fox"},
        {"role": "user", "content": "say dog"},
        {"role": "assistant", "content": "dog"},
        {"role": "user", "content": "thanks"},
    ]
    real = Supervised.collate

    def only_the_first(self, units):
        batch = real(self, units)
        batch.labels[:, (batch.input_ids[0] == 2).argmax() + 20 :] = IGNORE
        return batch

    monkeypatch.setattr(Supervised, "collate", only_the_first)
    skipped = [comparison.name for comparison in ways.COMPARISONS]
    found = verified(tiny_model, open_dataset([{"messages": chat}]), skip=skipped)
    assert "1 of 2 answers are not learnt" in found.failed[0].reason


def test_a_mean_of_means_fails__peer_theme_5(monkeypatch, tiny_model):
    real = Supervised.score

    def averaged(self, model, batch, baseline):
        scored = real(self, model, batch, baseline)
        return replace(scored, losses=scored.losses / len(scored.losses))

    monkeypatch.setattr(Supervised, "score", averaged)
    assert "accumulation" in {each.name for each in verified(tiny_model, ROWS).failed}


def test_a_loss_that_is_not_the_labels_cross_entropy_fails(monkeypatch, tiny_model):
    real = scoring.supervised_losses

    def louder(*args, **options):
        return 1.01 * real(*args, **options)

    monkeypatch.setattr(scoring, "supervised_losses", louder)
    assert "loss" in {check.name for check in verified(tiny_model, ROWS).failed}


def test_what_is_no_number_fails(monkeypatch, tiny_model):
    monkeypatch.setattr(ways, "gradient_difference", lambda *_: float("nan"))
    from xturing.train.verification import verifying

    monkeypatch.setattr(verifying, "gradient_difference", lambda *_: float("nan"))
    assert "loss" in {check.name for check in verified(tiny_model, ROWS).failed}


# What it promises besides.


def test_the_model_stays_as_it_is(tiny_folder):
    model = GenericLoraModel(tiny_folder)
    network = model.engine.model
    before = {name: value.clone() for name, value in network.state_dict().items()}
    flags = [parameter.requires_grad for parameter in network.parameters()]
    state = torch.get_rng_state()
    verified(model, ROWS)
    assert model.engine.model is network
    assert not network.training
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [parameter.requires_grad for parameter in network.parameters()] == flags
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_tuned_adapter_is_verified_and_stays_as_it_is(tiny_model):
    tiny_model.finetune(ROWS)
    network = tiny_model.engine.model
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert verified(tiny_model, ROWS).passed
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_rows_are_chosen_from_short_to_long_and_always_the_same(tiny_folder):
    model = GenericLoraModel(tiny_folder)
    skipped = [comparison.name for comparison in ways.COMPARISONS]
    one, other = (verified(model, ROWS, rows=3, skip=skipped) for _ in range(2))
    assert one == other
    assert one.rows == 3


def test_one_row_alone_can_be_verified(tiny_folder):
    found = verified(GenericLoraModel(tiny_folder), ROWS[:1])
    packed_or_padded = PACKED | {"padding", "other rows"}
    assert verdicts(found)["not possible"] == packed_or_padded
    assert found.passed


def test_a_check_that_is_skipped_is_not_made(tiny_folder):
    heard = []
    with listening(heard.append):
        found = verified(GenericLoraModel(tiny_folder), ROWS, skip=["packing", "loss"])
    names = {check.name for check in found.checks}
    assert names == (POSSIBLE | PACKED | FOLDED) - {"packing", "loss"}
    told = [event for event in heard if isinstance(event, Checked)]
    assert [event.check for event in told] == [*found.checks]
    assert {event.of for event in told} == {len(found.checks)}


def test_a_report_can_be_written_as_json(tiny_folder):
    found = verified(GenericLoraModel(tiny_folder), ROWS, rows=2)
    read = json.loads(json.dumps(found.as_dict()))
    assert read["passed"] is True
    assert {check["name"] for check in read["checks"]} == POSSIBLE | PACKED | FOLDED


def test_a_bound_that_rounding_cannot_keep_fails(tiny_folder):
    found = verified(GenericLoraModel(tiny_folder), ROWS, bound=1e-12)
    assert "accumulation" in {check.name for check in found.failed}


MISTAKES = {
    "no rows": ({"rows": 0}, SettingsError, "rows is 0"),
    "an unknown check": ({"skip": ["pakking"]}, UnknownNameError, "'packing'"),
}


@pytest.mark.parametrize(
    ("options", "kind", "message"), MISTAKES.values(), ids=MISTAKES
)
def test_mistakes_are_refused(tiny_folder, options, kind, message):
    with pytest.raises(kind, match=message):
        verified(GenericLoraModel(tiny_folder), InstructionDataset(ROWS), **options)


def test_rows_of_preferences_are_refused(tiny_folder):
    pairs = [{"prompt": "say fox", "chosen": "fox", "rejected": "dog"}]
    with pytest.raises(SettingsError, match="rows of the kind messages"):
        verified(GenericLoraModel(tiny_folder), open_dataset(pairs))
