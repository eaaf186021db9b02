import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from xturing.core.errors import DataError, UnknownNameError
from xturing.data import (
    Book,
    Encoded,
    Example,
    InstructionDataset,
    Part,
    TextDataset,
    encode,
    fit,
    pack,
)

LONG = 10_000
POLICIES = ["drop", "truncate", "keep-answer", "split"]
TOKENIZER = tiny.tokenizer()


@st.composite
def made(draw, row=0):
    """Make an example: a plain text, or turns with a template's tokens around them."""
    if draw(st.booleans()):
        parts = [Part.PROMPT, *[Part.ANSWER] * draw(st.integers(0, 60)), Part.END]
        is_divisible = True
    else:
        parts, is_divisible = [Part.TEMPLATE], False
        for _ in range(draw(st.integers(1, 3))):
            for part, most in (
                (Part.PROMPT, 30),
                (Part.TEMPLATE, 3),
                (Part.ANSWER, 20),
            ):
                parts += [part] * draw(st.integers(0, most))
            parts += [Part.END, Part.TEMPLATE]
    ids = np.arange(len(parts), dtype=np.int32)
    made = np.array(parts, dtype=np.uint8)
    return Example(ids, made, row, f"row {row}", is_divisible=is_divisible)


rows_of_any_kind = st.lists(made(), min_size=1, max_size=12)


def fitted(examples, max_length, policy):
    book = Book()
    if policy == "split":
        examples = [example for example in examples if example.is_divisible]
    return list(fit(examples, max_length, policy, book)), book.ledger(), examples


@pytest.mark.parametrize("policy", POLICIES)
@given(rows=rows_of_any_kind, max_length=st.integers(2, 70))
def test_the_ledger_has_every_token_under_every_policy(policy, rows, max_length):
    kept, ledger, rows = fitted(rows, max_length, policy)
    assert ledger.tokens == sum(len(example) for example in rows)
    held = ledger.supervised + ledger.prompt + ledger.template
    assert held == sum(len(example) for example in kept)
    assert ledger.supervised == sum(example.supervised for example in kept)
    assert held + ledger.truncated + ledger.dropped == ledger.tokens


@pytest.mark.parametrize("policy", POLICIES)
@given(rows=rows_of_any_kind, max_length=st.integers(2, 70))
def test_packing_keeps_the_ledger_whole(policy, rows, max_length):
    kept, ledger, _ = fitted(rows, max_length, policy)
    packed = pack(Encoded(tuple(kept), ledger), max_length)
    now = packed.ledger
    places = len(packed.windows) * packed.size
    assert now.supervised + now.prompt + now.template + now.padding == places
    assert now.supervised == sum(window.supervised for window in packed.windows)
    assert now.tokens == ledger.tokens + now.padding


@pytest.mark.parametrize("policy", POLICIES)
@given(rows=rows_of_any_kind, max_length=st.integers(2, 70))
def test_nothing_is_longer_than_the_limit(policy, rows, max_length):
    kept, _, _ = fitted(rows, max_length, policy)
    assert all(len(example) <= max_length for example in kept)


@given(rows=rows_of_any_kind, max_length=st.integers(2, 70))
def test_keep_answer_keeps_answers_ends_and_template(rows, max_length):
    def but_prompts(example):
        return example.ids[example.parts != Part.PROMPT].tolist()

    dropped = iter(fitted(rows, max_length, "keep-answer")[1].dropped_rows)
    kept = iter(fitted(rows, max_length, "keep-answer")[0])
    for row in rows:
        if len(but_prompts(row)) + (row.parts[0] == Part.PROMPT) > max_length:
            assert next(dropped) == row.place
        else:
            assert but_prompts(next(kept)) == but_prompts(row)


@given(rows=rows_of_any_kind, max_length=st.integers(2, 70))
def test_the_parts_of_a_split_text_are_the_text(rows, max_length):
    kept, ledger, rows = fitted(rows, max_length, "split")
    before = np.concatenate([row.ids for row in rows]) if rows else np.array([])
    after = np.concatenate([row.ids for row in kept]) if kept else np.array([])
    assert before.tolist() == after.tolist()
    assert len(ledger.split_rows) == sum(len(row) > max_length for row in rows)


@given(rows=rows_of_any_kind, max_length=st.integers(2, 70))
def test_a_truncated_row_is_a_start_with_something_to_learn(rows, max_length):
    kept, ledger, _ = fitted(rows, max_length, "truncate")
    assert all(
        example.supervised
        for example in kept
        if len(example) == max_length and ledger.truncated
    )
    assert ledger.ends_lost <= len(ledger.truncated_rows)


def words(count):
    return {"instruction": "say " * 40, "target": "fox " * count}


def test_keep_answer_takes_words_out_of_the_middle_of_the_prompt():
    dataset = InstructionDataset([words(3)])
    whole = encode(dataset, TOKENIZER, max_length=LONG).examples[0]
    limit = len(whole) - 20
    encoded = encode(dataset, TOKENIZER, max_length=limit, length_policy="keep-answer")
    text = TOKENIZER.decode(encoded.examples[0].ids)
    assert text.startswith("<|im_start|>user\nsay say ")
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\nfox fox fox <|im_end|>\n")
    assert encoded.ledger.truncated_rows == ("the list, row 1",)
    assert (encoded.ledger.truncated, encoded.ledger.ends_lost) == (20, 0)


def test_truncate_says_that_the_end_is_lost__peer_theme_2():
    dataset = InstructionDataset([words(60)])
    whole = encode(dataset, TOKENIZER, max_length=LONG).examples[0]
    encoded = encode(
        dataset, TOKENIZER, max_length=len(whole) - 20, length_policy="truncate"
    )
    assert encoded.ledger.ends_lost == 1
    assert encoded.ledger.end_of_turn == 0


def test_the_error_names_the_policy_that_loses_least():
    dataset = InstructionDataset([words(60), words(70)])
    limit = len(encode(dataset, TOKENIZER, max_length=LONG).examples[0]) - 10
    with pytest.raises(
        DataError,
        match=r"length_policy=keep-answer loses least \(tokens lost: keep-answer \d+, "
        r"truncate \d+ and \d ends of answers, drop \d+\)",
    ):
        encode(dataset, TOKENIZER, max_length=limit)


def test_plain_texts_lose_least_when_split():
    dataset = TextDataset({"text": ["the quick brown fox " * 40]})
    with pytest.raises(DataError, match="length_policy=split loses least"):
        encode(dataset, TOKENIZER, max_length=50)


def test_a_conversation_is_not_split():
    dataset = InstructionDataset([words(60)])
    with pytest.raises(DataError, match="row 1 has .* cannot be split"):
        encode(dataset, TOKENIZER, max_length=50, length_policy="split")


def test_a_misspelt_policy_gets_a_suggestion():
    dataset = InstructionDataset([words(1)])
    with pytest.raises(UnknownNameError, match="Did you mean 'keep-answer'"):
        encode(dataset, TOKENIZER, max_length=50, length_policy="keep_answer")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4), st.integers(4, 40))
def test_a_divided_text_decodes_to_itself(texts, max_length):
    texts = [f"x{text}" for text in texts]
    dataset = TextDataset({"text": texts})
    encoded = encode(dataset, TOKENIZER, max_length=max_length, length_policy="split")
    ids = np.concatenate([example.ids for example in encoded.examples])
    assert TOKENIZER.decode(ids) == "".join(f"{text}<|im_end|>" for text in texts)
