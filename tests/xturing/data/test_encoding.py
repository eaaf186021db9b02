import numpy as np
import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xturing.core.errors import DataError
from xturing.core.labels import IGNORE
from xturing.data import (
    InstructionDataset,
    Part,
    TextDataset,
    encode,
)

LONG = 10_000
TEMPLATES = {
    "chatml": (tiny.CHATML, "<|im_end|>"),
    "inst": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}"
        "{{ ' ' + m.content + ' ' + eos_token }}{% else %}"
        "{{ '[INST] ' + m.content + ' [/INST]' }}{% endif %}{% endfor %}",
        " <|im_end|>",
    ),
    "alpaca": (
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "{{ '### Response:\n' + m.content + eos_token + '\n\n' }}{% else %}"
        "{{ '### Instruction:\n' + m.content + '\n\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}",
        "<|im_end|>",
    ),
    "plain": (
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "{{ m.content + eos_token }}{% else %}{{ m.content + '\n\n' }}"
        "{% endif %}{% endfor %}",
        "<|im_end|>",
    ),
    "trimming": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + (m.content | trim) "
        "+ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "<|im_end|>",
    ),
}

words = st.text(min_size=1, max_size=30).filter(
    lambda text: text.strip() and "<|" not in text and "\ud800" > max(text)
)


def learnt(example, tokenizer):
    return tokenizer.decode(example.ids[example.labels != IGNORE])


def one(question, answer):
    return InstructionDataset([{"instruction": question, "target": answer}])


@pytest.mark.parametrize(("template", "end"), TEMPLATES.values(), ids=TEMPLATES)
@given(question=words, answer=words)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_answer_and_its_end_are_learnt_and_nothing_else(
    template, end, question, answer
):
    tokenizer = tiny.tokenizer(template)
    example = encode(one(question, answer), tokenizer, max_length=LONG).examples[0]
    written = answer.strip() if template is TEMPLATES["trimming"][0] else answer
    assert learnt(example, tokenizer).strip(" ") == (written + end).strip(" ")


@pytest.mark.parametrize(("template", "end"), TEMPLATES.values(), ids=TEMPLATES)
@given(question=words, answer=words)
@settings(max_examples=60, deadline=None)
def test_what_precedes_an_answer_is_what_will_be_served__peer_theme_4(
    template, end, question, answer
):
    tokenizer = tiny.tokenizer(template)
    dataset = one(question, answer)
    example = encode(dataset, tokenizer, max_length=LONG).examples[0]
    first = int(np.flatnonzero(example.labels != IGNORE)[0])
    served = tokenizer.apply_chat_template(
        dataset.prompts()[0], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    assert example.ids[:first].tolist() == served


def test_labels_stand_in_line_with_their_ids__predecessor_fault_2(tokenizer):
    example = encode(one("say fox", "fox"), tokenizer, max_length=LONG).examples[0]
    is_learnt = example.labels != IGNORE
    assert (example.labels[is_learnt] == example.ids[is_learnt]).all()
    assert not is_learnt[0]


def test_the_prompt_is_never_learnt__predecessor_fault_1(tokenizer):
    example = encode(one("say fox", "dog"), tokenizer, max_length=LONG).examples[0]
    assert "fox" not in learnt(example, tokenizer)


def test_a_target_of_a_text_is_learnt__predecessor_fault_3(tokenizer):
    dataset = TextDataset({"text": ["the quick "], "target": ["brown fox"]})
    example = encode(dataset, tokenizer, max_length=LONG).examples[0]
    assert learnt(example, tokenizer) == "brown fox<|im_end|>"


def test_the_end_is_learnt_though_padding_is_the_same_token__peer_theme_2(tokenizer):
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    example = encode(one("say fox", "fox"), tokenizer, max_length=LONG).examples[0]
    assert example.labels[example.parts == Part.END].tolist() == [
        tokenizer.eos_token_id
    ]


def test_all_of_a_text_but_its_first_token_is_learnt_with_its_end(tokenizer):
    dataset = TextDataset({"text": ["the quick brown fox"]})
    example = encode(dataset, tokenizer, max_length=LONG).examples[0]
    assert tokenizer.decode(example.ids) == "the quick brown fox<|im_end|>"
    assert (example.labels == IGNORE).tolist() == [True] + [False] * (len(example) - 1)


@pytest.mark.parametrize("prompt", ["", "the quick"])
def test_tokens_that_a_tokenizer_adds_stand_once_and_in_their_place(prompt):
    tokenizer = tiny.tokenizer_that_adds_tokens()
    dataset = TextDataset({"text": [prompt], "target": [" brown fox"]})
    example = encode(dataset, tokenizer, max_length=LONG).examples[0]
    whole = f"<|im_start|>{prompt} brown fox<|im_end|>"
    assert tokenizer.decode(example.ids) == whole
    assert learnt(example, tokenizer) == " brown fox<|im_end|>"
    assert example.parts[0] == Part.TEMPLATE


def test_each_answer_of_a_chat_is_learnt(tokenizer):
    turns = ["hi", "hello", "what is it?", "paris"]
    messages = [
        {"role": role, "content": content}
        for role, content in zip(["user", "assistant"] * 2, turns, strict=True)
    ]
    dataset = InstructionDataset([{"messages": messages}])
    example = encode(dataset, tokenizer, max_length=LONG).examples[0]
    assert learnt(example, tokenizer) == "hello<|im_end|>paris<|im_end|>"
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    assert tokenizer.decode(example.ids) == whole


def test_a_question_after_the_last_answer_is_read_but_not_learnt(tokenizer):
    roles = ["user", "assistant", "user"]
    dataset = InstructionDataset(
        [{"messages": [{"role": role, "content": f"a {role}"} for role in roles]}]
    )
    example = encode(dataset, tokenizer, max_length=LONG).examples[0]
    assert learnt(example, tokenizer) == "a assistant<|im_end|>"


def test_no_start_token_is_doubled__peer_theme_4():
    tokenizer = tiny.tokenizer(TEMPLATES["inst"][0])
    example = encode(one("say fox", "fox"), tokenizer, max_length=LONG).examples[0]
    assert example.ids.tolist().count(tokenizer.bos_token_id) == 1


def test_answers_that_hold_an_end_token_are_learnt_to_their_own_end(tokenizer):
    answer = "fox<|im_end|>dog"
    example = encode(one("say it", answer), tokenizer, max_length=LONG).examples[0]
    assert learnt(example, tokenizer) == answer + "<|im_end|>"


BAD_TEMPLATES = {
    "without an end": (
        "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
        "never learn to stop",
    ),
    "that shouts": (
        tiny.CHATML.replace("message['content']", "message['content'] | upper"),
        "changes the assistant's words",
    ),
    "that puts words before the answer": (
        TEMPLATES["alpaca"][0].replace("m.content + eos", "'Well, ' + m.content + eos"),
        "changes the assistant's words or puts others before",
    ),
    "that refuses": ("{{ raise_exception('no thanks') }}", "refuses.*no thanks"),
}


@pytest.mark.parametrize(
    ("template", "message"), BAD_TEMPLATES.values(), ids=BAD_TEMPLATES
)
def test_a_template_that_cannot_be_learnt_from_is_refused(template, message):
    with pytest.raises(DataError, match=message):
        encode(one("say fox", "fox"), tiny.tokenizer(template), max_length=LONG)


def test_a_template_that_forgets_earlier_turns_is_refused():
    template = "{% set messages = messages[-1:] %}" + tiny.CHATML
    roles = ["user", "assistant"] * 2
    dataset = InstructionDataset(
        [{"messages": [{"role": role, "content": f"a {role}"} for role in roles]}]
    )
    with pytest.raises(DataError, match="differently once others follow"):
        encode(dataset, tiny.tokenizer(template), max_length=LONG)


def test_a_tokenizer_without_a_template_is_refused_for_chats():
    with pytest.raises(DataError, match="no chat template"):
        encode(one("a", "b"), tiny.tokenizer(None), max_length=LONG)


def test_rows_that_are_too_long_are_shown_and_not_cut__peer_theme_3(tokenizer):
    dataset = InstructionDataset(
        [{"instruction": "q", "target": "fox " * count} for count in (1, 90, 60)]
    )
    longest = max(
        len(example) for example in encode(dataset, tokenizer, max_length=LONG).examples
    )
    with pytest.raises(
        DataError, match=rf"2 of 3 rows .*row 2 has {longest};.*max_length={longest} to"
    ):
        encode(dataset, tokenizer, max_length=50)
    encoded = encode(dataset, tokenizer, max_length=longest)
    assert len(encoded.examples) == 3


def test_rows_that_are_dropped_are_booked_with_their_place(tokenizer):
    dataset = InstructionDataset(
        [{"instruction": "q", "target": "fox " * count} for count in (1, 90)]
    )
    whole = encode(dataset, tokenizer, max_length=LONG)
    encoded = encode(dataset, tokenizer, max_length=50, length_policy="drop")
    assert encoded.ledger.dropped == len(whole.examples[1])
    assert encoded.ledger.dropped_rows == ("the list, row 2",)
    assert encoded.ledger.tokens == whole.ledger.tokens


def test_a_limit_too_short_for_any_row_says_what_would_do(tokenizer):
    with pytest.raises(DataError, match="none is left to learn from. Set max_length"):
        encode(one("a", "b"), tokenizer, max_length=3, length_policy="drop")


@given(st.lists(st.tuples(words, words), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_the_ledger_adds_up_to_every_token_of_the_text(pairs):
    tokenizer = tiny.tokenizer()
    dataset = InstructionDataset([{"instruction": q, "target": a} for q, a in pairs])
    encoded = encode(dataset, tokenizer, max_length=LONG)
    ledger = encoded.ledger
    assert ledger.tokens == sum(len(example) for example in encoded.examples)
    assert ledger.supervised == sum(example.supervised for example in encoded.examples)
    assert ledger.end_of_turn == len(pairs)
    assert ledger.supervised + ledger.prompt + ledger.template == ledger.tokens


def test_the_row_that_a_template_refuses_is_named_among_many():
    picky = tiny.CHATML.replace(
        "{% for",
        "{% if 'odd' in messages[0].content %}{{ raise_exception('odd') }}{% endif %}"
        "{% for",
        1,
    )
    rows = [{"instruction": f"{n % 9} odd"[: n + 1], "target": "yes"} for n in range(9)]
    with pytest.raises(DataError, match=r"row 5.* refuses .*odd"):
        encode(InstructionDataset(rows), tiny.tokenizer(picky), max_length=LONG)


def test_limits_that_a_tokenizer_was_called_with_cut_no_row__peer_theme_3(tokenizer):
    rows = one("say " * 20, "fox " * 20)
    expected = encode(rows, tokenizer, max_length=LONG).examples[0].ids.tolist()
    tokenizer(["x"], truncation=True, max_length=4, padding="max_length")
    assert encode(rows, tokenizer, max_length=LONG).examples[0].ids.tolist() == expected
