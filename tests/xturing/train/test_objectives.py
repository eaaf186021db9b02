"""Each method against its paper, against TRL, and against the laws of training."""

import math

import pytest
import tiny
import torch
from preferences import OPEN, PAIRS, ROWS
from transformers import AutoModelForCausalLM

from xturing.core.errors import DataError, SettingsError
from xturing.core.events import Notice, listening
from xturing.data import open_dataset
from xturing.models import GenericLoraModel
from xturing.models.loss import trainable
from xturing.models.settings import FinetuningConfig
from xturing.train.dropout import without_dropout
from xturing.train.neftune import noisy_embeddings
from xturing.train.objectives.choosing import METHODS
from xturing.train.objectives.dpo import dpo_losses
from xturing.train.objectives.kto import kto_losses
from xturing.train.objectives.orpo import log_odds, orpo_losses
from xturing.train.objectives.reference import is_base_when_off, without_adapter
from xturing.train.optimizers import build_optimizer
from xturing.train.scoring import score_answers, token_losses


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_dpo_is_the_paper_s_formula_and_trl_s():
    # log-ratios -10 - -12 = 2 and -15 - -14 = -1; 0.1 (2 - -1) = 0.3;
    # -log sigmoid(0.3) = log(1 + e^-0.3). TRL 1.16, dpo_trainer.py, loss_type
    # "sigmoid": -F.logsigmoid(beta * (chosen_logratios - rejected_logratios)).
    found = dpo_losses(double(2), double(-1), beta=0.1)
    assert found.item() == pytest.approx(0.554355244468527, abs=1e-12)


def test_dpo_s_label_smoothing_is_that_of_noisy_preferences():
    # 0.9 log(1 + e^-0.3) + 0.1 log(1 + e^0.3); the second is 0.3 above the first.
    found = dpo_losses(double(2), double(-1), beta=0.1, label_smoothing=0.1)
    assert found.item() == pytest.approx(0.584355244468527, abs=1e-12)


def test_orpo_is_the_paper_s_formula_and_trl_s():
    # p = 1/2 has the odds 1, p = 1/5 has 1/4: their ratio is 4, sigmoid(log 4) = 4/5,
    # so the loss is log 2 + 0.1 log(5/4). TRL 1.16, orpo_trainer.py: nll -
    # beta logsigmoid(log_odds), where its nll is that of the answer, as in the paper.
    chosen, rejected = double(math.log(0.5)), double(math.log(0.2))
    found = orpo_losses(chosen, rejected, orpo_lambda=0.1)
    assert found.item() == pytest.approx(0.7154615356913663, abs=1e-12)


def test_kto_is_the_paper_s_formula_and_trl_s():
    # beta = log 3: one nat above the divergence gives sigmoid(log 3) = 3/4, so a wanted
    # answer costs 2 (1 - 3/4); one below gives 1/4, an unwanted one 4 (1 - 3/4).
    # TRL 1.16, kto_trainer.py: 1 - F.sigmoid(beta * (chosen_logratios - kl)) and
    # 1 - F.sigmoid(beta * (kl - rejected_logratios)), weighted.
    found = kto_losses(
        double(2, 0),
        torch.tensor([True, False]),
        1.0,
        beta=math.log(3),
        desirable_weight=2.0,
        undesirable_weight=4.0,
    )
    assert found.tolist() == pytest.approx([0.5, 1.0], abs=1e-12)


# Log-probabilities of eight answers, under the policy and under the reference.
POLICY = double(-1.25, -7.5, -22.0, -3.125, -2.5, -7.25, -30.5, -0.75)
REFERENCE = double(-2.0, -7.75, -19.5, -3.0, -2.25, -8.0, -26.0, -1.5)
# Log-probabilities per token of four pairs.
MEANS = double(-0.5, -1.5, -0.001, -6.0), double(-2.0, -1.0, -4.5, -0.25)
# Four prompts with answers that are not theirs: a divergence of 0.3125.
DIVERGENCE = (double(-10, -12, -9, -11) - double(-11, -12.5, -9.25, -10.5)).mean()


def log_ratios():
    return (POLICY - REFERENCE).chunk(2)


# What the code of TRL 1.16.0 returned for these numbers in float32 (torch 2.15):
# DPOTrainer._compute_loss, ORPOTrainer.odds_ratio_loss taken from the mean loss of the
# chosen answer, KTOTrainer._compute_loss before its mean; the model was a stand-in that
# returned the log-probabilities.
GOLDEN = {
    "dpo": (
        lambda: dpo_losses(*log_ratios(), beta=0.1),
        [0.6443966627120972, 0.7184596657752991, 0.5981388688087463, 0.737853884696960],
    ),
    "orpo": (
        lambda: orpo_losses(*MEANS, orpo_lambda=0.1),
        [0.509670615196228, 1.6107327938079834, 0.00100112403742969, 6.725691795349121],
    ),
    "kto": (
        lambda: kto_losses(
            log_ratios()[0],
            torch.tensor([True, False, True, False]),
            float(DIVERGENCE),
            beta=0.1,
            desirable_weight=1.5,
            undesirable_weight=0.75,
        ),
        [0.7335964441299438, 0.373828113079071, 0.8547790050506592, 0.366798222064972],
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), GOLDEN.values(), ids=GOLDEN)
def test_losses_are_those_that_trl_returns(ours, theirs):
    assert ours().tolist() == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize(
    "losses",
    [
        lambda a, b: dpo_losses(a, b, beta=0.3, label_smoothing=0.1),
        lambda a, b: orpo_losses(a, b, orpo_lambda=0.3),
        lambda a, b: kto_losses(a - b, a > -1, 0.2, beta=0.3),
    ],
    ids=["dpo", "orpo", "kto"],
)
def test_gradients_are_those_of_small_differences(losses):
    a, b = (
        double(-0.2, -1.5, -3).requires_grad_(),
        double(-2, -0.4, -1).requires_grad_(),
    )
    assert torch.autograd.gradcheck(losses, (a, b))


@pytest.mark.parametrize("value", [0.0, -1e-30, -1e-9, -50.0])
def test_odds_have_a_value_and_a_gradient_next_to_certainty(value):
    given = torch.tensor([value], requires_grad=True)
    log_odds(given).sum().backward()
    assert log_odds(given).isfinite().all()
    assert given.grad.isfinite().all()


def prepared(folder, name, rows=None, **settings):
    model = GenericLoraModel(folder)
    config = model.finetuning_config()
    config.max_length = 128
    for setting, value in settings.items():
        setattr(config, setting, value)
    objective = METHODS[name].make(config, 2)
    dataset = OPEN[name](rows or ROWS[name])
    units = objective.encode(dataset, model.engine.tokenizer, config)
    return model, objective, units


def test_without_its_adapter_the_model_is_its_base(tiny_folder):
    model, objective, units = prepared(tiny_folder, "dpo")
    batch = objective.collate(units.units[:4])
    base = score_answers(model.engine.model, batch).log_probabilities
    network = model.prepare_training()
    assert is_base_when_off(network)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".lora_B." in name:
                parameter.fill_(0.1)
    with without_adapter(network):
        assert torch.equal(score_answers(network, batch).log_probabilities, base)


@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_an_adapter_that_changed_the_base_is_no_reference_when_off(tiny_folder, init):
    model, objective, units = prepared(tiny_folder, "dpo", lora_init=init)
    before = score_answers(model.engine.model, objective.collate(units.units[:2]))
    network = model.prepare_training()
    kept = objective.prepare(network, units.units[:2])
    found = objective.collate(kept).reference
    assert found == pytest.approx(before.log_probabilities.tolist(), abs=1e-3)


@pytest.mark.parametrize("name", ["dpo", "kto"])
def test_kept_reference_gives_the_loss_of_the_adapter_switched_off(tiny_folder, name):
    model, objective, units = prepared(tiny_folder, name)
    network = model.prepare_training().eval()
    off = units.units[:4]
    assert objective.prepare(network, off) is off
    with torch.no_grad():
        values = [
            score_answers(network, _alone(e)).log_probabilities
            for u in off
            for e in u.examples
        ]
    pairs = zip(values[::2], values[1::2], strict=True)
    kept = [
        u.referred((float(a), float(b))) for u, (a, b) in zip(off, pairs, strict=True)
    ]
    ours = objective.score(network, objective.collate(off), 0.0).losses
    theirs = objective.score(network, objective.collate(kept), 0.0).losses
    assert torch.allclose(ours, theirs, atol=1e-5)


def _alone(example):
    from xturing.data import collate

    return collate([example], pad_id=2)


def run(folder, output, name, **settings):
    model = GenericLoraModel(folder)
    config = model.finetuning_config()
    config.output_dir, config.max_length = str(output), 128
    config.learning_rate, config.validation_split = 1e-2, 0.25
    config.report_samples = 0
    for setting, value in settings.items():
        setattr(config, setting, value)
    return model.finetune(OPEN[name](ROWS[name]))


@pytest.mark.parametrize("name", ["dpo", "orpo", "kto"])
def test_accumulation_weighs_as_one_big_batch__peer_theme_5(
    tiny_folder, tmp_path, name
):
    def losses(batch_size, accumulation):
        return run(
            tiny_folder,
            tmp_path / f"{batch_size}",
            name,
            objective=name,
            batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
        ).losses

    assert losses(8, 1) == pytest.approx(losses(1, 8), abs=1e-4)


@pytest.mark.parametrize("name", ["dpo", "orpo", "kto"])
def test_the_held_out_margin_rises(tiny_folder, tmp_path, name):
    report = run(
        tiny_folder,
        tmp_path / "out",
        name,
        objective=name,
        batch_size=4,
        num_train_epochs=5,
    )
    assert report.comparison_after.margin > report.comparison_before.margin
    assert report.run_ledger.in_loss == report.run_ledger.planned


def test_dpo_on_real_preferences_raises_the_margin_on_others(tiny_model, preferences):
    config = tiny_model.finetuning_config()
    config.max_length, config.length_policy = 300, "truncate"
    config.learning_rate, config.num_train_epochs = 3e-3, 2
    config.validation_split = 0.25
    rows = open_dataset(preferences, limit=160)
    report = tiny_model.finetune(rows)
    assert report.comparison_before.margin == 0.0
    assert report.comparison_after.margin > 0.1
    assert report.comparison_after.accuracy > 0.55


def test_preferences_are_learnt_by_dpo_and_it_is_told(tiny_folder, tmp_path):
    heard = []
    with listening(heard.append):
        report = run(tiny_folder, tmp_path / "out", "dpo", max_steps=1)
    told = [event.text for event in heard if isinstance(event, Notice)]
    assert report.objective == "dpo"
    assert any("learnt by DPO" in text for text in told)


def test_rows_that_an_objective_does_not_take_are_refused(tiny_model, rows):
    tiny_model.finetuning_config().objective = "dpo"
    with pytest.raises(SettingsError, match="rows of the kind preference"):
        tiny_model.finetune(rows)


def test_a_setting_of_another_objective_is_refused(tiny_model, rows):
    tiny_model.finetuning_config().beta = 0.2
    with pytest.raises(SettingsError, match="beta is set .* for dpo and kto"):
        tiny_model.finetune(rows)


def test_an_unknown_objective_is_refused():
    with pytest.raises(SettingsError, match="objective is 'ppo'"):
        FinetuningConfig(objective="ppo")


def test_a_pair_is_left_out_as_a_whole(tiny_folder):
    long = {"prompt": "say fox", "chosen": "fox", "rejected": "dog " * 200}
    _, _, units = prepared(
        tiny_folder, "dpo", rows=[*PAIRS, long], length_policy="drop"
    )
    assert len(units.units) == len(PAIRS)
    assert len(units.ledger.dropped_rows) == 1
    assert units.ledger.supervised == sum(unit.supervised for unit in units.units)


def test_a_pair_that_is_too_long_is_refused__peer_theme_3(tiny_folder):
    long = {"prompt": "say fox", "chosen": "fox", "rejected": "dog " * 200}
    with pytest.raises(DataError, match="1 of 17 rows have more than max_length=128"):
        prepared(tiny_folder, "dpo", rows=[*PAIRS, long])


LONG_PROMPT = {
    "prompt": "say " * 60,
    "chosen": "the quick brown fox",
    "rejected": "no fox and no dog, only a very lazy one",
}


def cut_pair(folder, rows, policy, max_length):
    """Return a row's pair as it is, and as a policy leaves it, with the ledger."""
    _, _, whole = prepared(folder, "dpo", rows=rows, max_length=999)
    _, _, cut = prepared(
        folder, "dpo", rows=rows, max_length=max_length, length_policy=policy
    )
    return whole.units[0], cut.units[0], cut.ledger


def learnt(example):
    return example.ids[example.first_learnt :].tolist()


def test_keep_answer_cuts_a_pair_s_prompt_alike_and_no_answer(tiny_folder):
    whole, cut, ledger = cut_pair(tiny_folder, [LONG_PROMPT], "keep-answer", 60)
    assert len(cut) == 60
    assert learnt(cut.chosen) == learnt(whole.chosen)
    assert learnt(cut.rejected) == learnt(whole.rejected)
    prompts = [each.ids[: each.first_learnt] for each in cut.examples]
    assert prompts[0].tolist() == prompts[1].tolist()
    assert ledger.truncated == 2 * (len(whole) - 60)
    assert ledger.ends_lost == 0


def test_truncate_cuts_the_end_of_both_answers_and_says_so(tiny_folder):
    row = {"prompt": "say fox", "chosen": "fox " * 80, "rejected": "dog " * 90}
    whole, cut, ledger = cut_pair(tiny_folder, [row], "truncate", 50)
    for short, long in zip(cut.examples, whole.examples, strict=True):
        assert short.ids.tolist() == long.ids[:50].tolist()
    assert ledger.truncated_rows == ("the list, row 1",)
    assert ledger.ends_lost


def test_a_pair_whose_prompt_cannot_give_enough_is_left_out_as_a_whole(tiny_folder):
    row = {"prompt": "say fox", "chosen": "fox", "rejected": "dog " * 90}
    _, _, units = prepared(
        tiny_folder,
        "dpo",
        rows=[row, *PAIRS],
        max_length=100,
        length_policy="keep-answer",
    )
    assert len(units.units) == len(PAIRS)
    assert units.ledger.dropped_rows == ("the list, row 1",)


def test_a_pair_is_not_split(tiny_folder):
    with pytest.raises(DataError, match="cannot be split"):
        cut_pair(tiny_folder, [LONG_PROMPT], "split", 60)


def test_without_dropout_no_layer_and_no_function_drops_anything():
    # OPT hands its share to functions; a LoRA layer has a dropout layer.
    config = tiny.opt_config()
    config.dropout = config.attention_dropout = 0.5
    network = AutoModelForCausalLM.from_config(config).train()
    network.append = torch.nn.Dropout(0.5)
    ids = torch.arange(5, 25)[None]
    noisy = [network(input_ids=ids).logits for _ in range(2)]
    with without_dropout(network):
        calm = [network.append(network(input_ids=ids).logits) for _ in range(2)]
    assert not torch.equal(*noisy)
    assert torch.equal(*calm)
    assert (network.append.p, network.model.decoder.layers[0].dropout) == (0.5, 0.5)


def test_mismatched_answers_follow_prompts_that_are_not_theirs(tiny_folder):
    _, _, units = prepared(tiny_folder, "kto")
    for unit in units.units:
        start = unit.answer.first_learnt
        assert (unit.mismatched.ids[:start] == unit.answer.ids[:start]).all()


def test_label_smoothing_is_that_of_torch(tiny_model, rows):
    objective = METHODS["sft"].make(FinetuningConfig(label_smoothing=0.1), 2)
    config = tiny_model.finetuning_config()
    units = objective.encode(rows, tiny_model.engine.tokenizer, config).units
    batch, network = objective.collate(units[:3]), tiny_model.engine.model
    logits = network(torch.from_numpy(batch.input_ids)).logits[:, :-1].flatten(0, 1)
    labels = torch.from_numpy(batch.labels)[:, 1:].flatten()
    theirs = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    ours = objective.score(network.train(), batch, 0.0).losses.mean()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)


def test_neftune_changes_training_and_nothing_else(tiny_model, rows):
    objective = METHODS["sft"].make(FinetuningConfig(), 2)
    config, network = tiny_model.finetuning_config(), tiny_model.engine.model
    units = objective.encode(rows, tiny_model.engine.tokenizer, config).units
    batch = objective.collate(units[:3])
    lengths = torch.from_numpy(batch.attention_mask.sum(axis=1))
    plain = token_losses(network, batch)
    with noisy_embeddings(network, 5.0, lengths):
        assert not torch.equal(token_losses(network.train(), batch), plain)
        assert torch.equal(token_losses(network.eval(), batch), plain)
        with torch.no_grad():
            assert torch.equal(token_losses(network.train(), batch), plain)
    assert torch.equal(token_losses(network, batch), plain)


def test_lora_plus_lets_b_learn_faster_and_nothing_else(tiny_model):
    config = FinetuningConfig(learning_rate=1e-3, lora_plus_ratio=16.0)
    named = trainable(tiny_model.prepare_training())
    optimizer = build_optimizer(named, config)
    rates = {
        id(parameter): group["lr"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for name, parameter in named:
        wanted = 16e-3 if ".lora_B." in name else 1e-3
        assert rates[id(parameter)] == pytest.approx(wanted), name
