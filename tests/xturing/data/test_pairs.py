import pytest

from xturing.core.errors import DataError
from xturing.core.labels import IGNORE
from xturing.data import Conversation, Message, encode_judgements, encode_pairs
from xturing.data.records import Judgement, Placed, Preference

ASKED = (
    Message("user", "hi"),
    Message("assistant", "hello"),
    Message("user", "say fox"),
)
PREFERENCE = Preference(
    ASKED, (Message("assistant", "fox"),), (Message("assistant", "the dog"),)
)


def learnt(example, tokenizer):
    return tokenizer.decode(example.ids[example.labels != IGNORE])


def test_both_answers_follow_the_same_prompt_ids(tokenizer):
    (pair,) = encode_pairs([Placed(PREFERENCE, "row 1")], tokenizer)
    shared = pair.chosen.ids[: pair.prompt_length].tolist()
    assert shared == pair.rejected.ids[: pair.prompt_length].tolist()
    messages = [{"role": turn.role, "content": turn.content} for turn in ASKED]
    served = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=True
    )
    assert shared == served["input_ids"]


def test_of_a_pair_the_two_answers_are_learnt_and_no_earlier_turn(tokenizer):
    (pair,) = encode_pairs([Placed(PREFERENCE, "row 1")], tokenizer)
    assert learnt(pair.chosen, tokenizer) == "fox<|im_end|>"
    assert learnt(pair.rejected, tokenizer) == "the dog<|im_end|>"


def test_pairs_keep_the_order_and_number_of_their_rows(tokenizer):
    records = [Placed(PREFERENCE, f"row {number}") for number in range(300)]
    found = [(pair.place, pair.chosen.row) for pair in encode_pairs(records, tokenizer)]
    assert found == [(f"row {number}", number) for number in range(300)]


def test_a_judgement_keeps_its_verdict(tokenizer):
    talk = Conversation((*ASKED, Message("assistant", "fox")))
    records = [Placed(Judgement(talk, bool(n % 2)), f"row {n}") for n in range(300)]
    verdicts = [each.is_wanted for each in encode_judgements(records, tokenizer)]
    assert verdicts == [bool(number % 2) for number in range(300)]


@pytest.mark.parametrize("encode", [encode_pairs, encode_judgements])
def test_records_of_another_kind_are_named(encode, tokenizer):
    talk = Conversation((*ASKED, Message("assistant", "fox")))
    with pytest.raises(DataError, match="row 1 is a conversation, not a"):
        list(encode([Placed(talk, "row 1")], tokenizer))
