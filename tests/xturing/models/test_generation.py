import pytest
import tiny
import torch

from xturing.core.errors import ModelError, SettingsError
from xturing.data import InstructionDataset, TextDataset
from xturing.models import GenericModel
from xturing.models.contrastive import contrastive_search
from xturing.models.generation import prompt_tokens
from xturing.models.template import GOLDEN, install, stop_ids

QUESTIONS = [
    "say hello",
    "what is the capital of france?",
    "write a short answer to the question, please",
]


@pytest.fixture(params=["tiny_folder", "tiny_gpt2_folder"])
def model(request):
    model = GenericModel(request.getfixturevalue(request.param))
    model.generation_config().max_new_tokens = 12
    return model


def test_a_string_gives_a_string_and_a_list_a_list_in_order(model):
    answers = model.generate(texts=QUESTIONS)
    assert [model.generate(texts=text) for text in QUESTIONS] == answers


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_answers_do_not_depend_on_the_batch(model, batch_size):
    assert model.generate(texts=QUESTIONS, batch_size=batch_size) == model.generate(
        texts=QUESTIONS, batch_size=8
    )


def test_a_stream_adds_up_to_the_answer(model):
    for question in QUESTIONS:
        assert "".join(model.stream(question)) == model.generate(texts=question)


def test_a_stream_can_be_left_early(model):
    stream = model.stream(QUESTIONS[0])
    next(stream)
    stream.close()
    assert model.generate(texts=QUESTIONS[0])


def test_an_error_in_a_stream_reaches_the_reader(model):
    with pytest.raises(ModelError, match="refuses"):
        tokenizer = model.engine.tokenizer
        tokenizer.chat_template = "{{ raise_exception('no') }}"
        list(model.stream("x"))


def test_rows_are_answered_from_their_prompts_alone__predecessor_fault_8(model):
    rows = [{"instruction": text, "target": f"secret {text}"} for text in QUESTIONS]
    answers = model.generate(dataset=InstructionDataset(rows))
    assert answers == model.generate(texts=QUESTIONS)


def test_a_text_row_is_continued_as_it_stands(model):
    dataset = TextDataset({"text": ["the quick brown"], "target": [" fox"]})
    expected = model.generate(texts="the quick brown", raw=True)
    assert model.generate(dataset=dataset) == [expected]


def test_a_text_to_be_continued_is_not_ended():
    tokenizer = tiny.tokenizer_that_adds_tokens()
    ids = prompt_tokens(tokenizer, "the quick", raw=True)
    assert tokenizer.decode(ids) == "<|im_start|>the quick"


def test_texts_come_before_the_rows_of_a_dataset(model):
    dataset = InstructionDataset([{"instruction": QUESTIONS[0], "target": "x"}])
    answers = model.generate(texts=[QUESTIONS[1]], dataset=dataset)
    assert answers == model.generate(texts=[QUESTIONS[1], QUESTIONS[0]])


def test_nothing_to_answer_is_refused(model):
    with pytest.raises(SettingsError, match="pass texts or a dataset"):
        model.generate()


def test_texts_that_are_no_texts_are_refused(model):
    with pytest.raises(SettingsError, match=r"texts holds 3 \(int\)"):
        model.generate(texts=[3])


def test_an_empty_prompt_is_refused(model):
    with pytest.raises(ModelError, match="empty"):
        model.generate(texts="")


def test_an_answer_ends_with_its_turn(model):
    class Ending(torch.nn.Module):
        """A head that ends the answer at once."""

        def forward(self, hidden):
            scores = torch.zeros(*hidden.shape[:-1], 512)
            scores[..., 2] = 1
            return scores

    model.engine.model.set_output_embeddings(Ending())
    (answer,) = model.answers(texts=[QUESTIONS[0]])
    assert (answer.text, answer.tokens, answer.stopped) == ("", 1, True)


def test_an_answer_that_is_cut_off_says_so(model):
    model.generation_config().max_new_tokens = 1
    assert not model.answers(texts=[QUESTIONS[0]])[0].stopped


def test_draws_repeat_with_a_seed_and_leave_the_caller_s_alone(model):
    config = model.generation_config()
    config.do_sample, config.temperature, config.seed = True, 2.0, 7
    state = torch.random.get_rng_state()
    first = model.generate(texts=QUESTIONS)
    assert model.generate(texts=QUESTIONS) == first
    assert torch.equal(torch.random.get_rng_state(), state)
    config.seed = 8
    assert model.generate(texts=QUESTIONS) != first


def test_the_model_is_left_in_the_mode_it_was_in(model):
    model.engine.model.train()
    model.generate(texts=QUESTIONS)
    assert model.engine.model.training


def test_a_model_without_a_template_is_given_one_that_ends_turns(tiny_gpt2_folder):
    tokenizer = GenericModel(tiny_gpt2_folder).engine.tokenizer
    text = tokenizer.apply_chat_template(GOLDEN[1], tokenize=False)
    assert text == "Name a colour.\n\nBlue.<|im_end|>Another one, s'il te plaît!\n\n"


def test_a_template_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(
        ModelError, match="no chat template 'plane'. Did you mean 'plain'"
    ):
        install(tiny.tokenizer(), "plane")


def test_the_end_of_turn_stops_even_if_it_is_not_the_end_of_text():
    tokenizer = tiny.tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    assert stop_ids(tokenizer) == [0, 2]


def test_an_end_of_turn_is_found_whatever_letters_it_holds__peer_theme_2():
    template = tiny.CHATML.replace("<|im_end|>", "<|endoftext|>")
    assert stop_ids(tiny.tokenizer(template)) == [0, 2]


def reference_contrastive_search(model, ids, *, candidates, alpha, steps):
    """Return what contrastive search writes, by the paper's formula and no cache."""
    ids = list(ids)
    for _ in range(steps):
        output = model(torch.tensor([ids]), output_hidden_states=True)
        probabilities, tokens = output.logits[0, -1].softmax(-1).topk(candidates)
        best = None
        for probability, token in zip(probabilities, tokens, strict=True):
            line = torch.tensor([[*ids, int(token)]])
            hidden = model(line, output_hidden_states=True).hidden_states[-1][0]
            penalty = torch.cosine_similarity(hidden[-1:], hidden[:-1]).max()
            score = (1 - alpha) * probability - alpha * penalty
            if best is None or score > best[0]:
                best = score, int(token)
        ids.append(best[1])
    return ids


@torch.inference_mode()
def test_contrastive_search_writes_what_its_paper_says__predecessor_fault_33(model):
    prompts = [[5, 6, 7, 8, 9], [10, 11, 12]]
    ids = torch.tensor([prompts[0], [0, 0, *prompts[1]]])
    mask = torch.tensor([[1] * 5, [0, 0, 1, 1, 1]])
    torch_model = model.engine.model
    written = contrastive_search(
        torch_model,
        ids,
        mask,
        candidates=4,
        penalty_alpha=0.6,
        max_new_tokens=8,
        stop_ids=[],
    )
    for prompt, line in zip(prompts, written.tolist(), strict=True):
        expected = reference_contrastive_search(
            torch_model, prompt, candidates=4, alpha=0.6, steps=8
        )
        assert line == expected[len(prompt) :]


def test_contrastive_search_streams_what_it_writes(model):
    model.generation_config().penalty_alpha = 0.6
    answer = model.generate(texts=QUESTIONS[0])
    assert "".join(model.stream(QUESTIONS[0])) == answer
