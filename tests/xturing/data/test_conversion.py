import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from xturing.core.errors import DataError
from xturing.data import (
    Conversation,
    Document,
    InstructionDataset,
    Message,
    Preference,
    convert,
    open_dataset,
)
from xturing.data.conversion import WRITERS
from xturing.data.records import Judgement, Placed, ToolCall

CHATS = ["messages", "sharegpt", "alpaca", "xturing", "prompt_completion"]
RARE = ["", " ", "\n", "\t", "{text}", '"', "\\", "é", "日本語", "🙂", "\u2028", "\x00"]

words = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(RARE)
said = words.filter(str.strip)
scalars = st.none() | st.booleans() | st.integers() | words
arguments = st.dictionaries(
    words,
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=2), max_leaves=4),
)
calls = st.builds(ToolCall, words, arguments)
tools = st.builds(
    lambda name, about: {
        "type": "function",
        "function": {"name": name, "parameters": about},
    },
    words,
    arguments,
)


def flagged(message, is_marked):
    """Mark the message the other way than its role says."""
    marked = message.role != "assistant" if is_marked else None
    return Message(message.role, message.content, message.tool_calls, marked)


def messages(role, content, **rest):
    return st.builds(
        flagged,
        st.builds(Message, st.just(role), content, **rest),
        st.booleans() if rest else st.just(False),
    )


askers = messages("user", said)
answers = messages("assistant", said)
callers = messages(
    "assistant", words, tool_calls=st.lists(calls, min_size=1).map(tuple)
)
exchanges = st.tuples(askers, answers) | st.tuples(
    askers, callers, messages("tool", words), answers
)


@st.composite
def conversations(draw, exchanges=exchanges, most=3):
    system = draw(st.just(()) | messages("system", words).map(lambda turn: (turn,)))
    turns = draw(st.lists(exchanges, min_size=1, max_size=most))
    flat = tuple(turn for exchange in turns for turn in exchange)
    record = Conversation((*system, *flat), tuple(draw(st.lists(tools, max_size=2))))
    assume(any(turn.learns for turn in record.messages))
    return record


plain = conversations(st.tuples(askers, answers)).map(
    lambda record: Conversation(record.messages)
)


def rows_of(record, shape):
    return list(convert([Placed(record, "row 1")], shape))


def read_again(rows):
    # Through JSON, because that is where converted rows go.
    dataset = open_dataset(json.loads(json.dumps(rows)))
    return dataset.shape.name, dataset.record(0)


def meaning(record):
    """What a record says, however its turns' marks are written."""
    return (
        [
            (turn.role, turn.content, turn.tool_calls, turn.learns)
            for turn in record.messages
        ],
        record.tools,
    )


@given(conversations() | plain)
@pytest.mark.parametrize("shape", CHATS)
def test_a_conversation_is_the_same_in_a_shape_or_is_refused(shape, record):
    try:
        rows = rows_of(record, shape)
    except DataError:
        return
    name, again = read_again(rows)
    assert (name, meaning(again)) == (shape, meaning(record))


@given(conversations())
def test_messages_hold_every_conversation(record):
    assert read_again(rows_of(record, "messages")) == ("messages", record)


@given(plain)
@pytest.mark.parametrize("between", ["messages", "sharegpt"])
def test_one_shape_to_another_and_back_keeps_the_rows(between, record):
    rows = rows_of(record, "sharegpt")
    _, there = read_again(rows_of(record, between))
    assert rows_of(there, "sharegpt") == rows


simple = st.builds(
    lambda asked, answered: Conversation(
        (Message("user", asked), Message("assistant", answered))
    ),
    said,
    said,
)


@given(simple)
@pytest.mark.parametrize("shape", CHATS)
def test_every_shape_holds_a_question_and_its_answer(shape, record):
    assert read_again(rows_of(record, shape)) == (shape, record)


asked = st.lists(askers, min_size=1, max_size=1).map(tuple)
told = st.lists(answers, min_size=1, max_size=1).map(tuple)


@given(asked, told, told, st.lists(tools, max_size=1).map(tuple))
def test_a_preference_stays_the_same(prompt, chosen, rejected, tools):
    assume(chosen != rejected)
    record = Preference(prompt, chosen, rejected, tools)
    assert read_again(rows_of(record, "preference")) == ("preference", record)


@given(asked, told, st.booleans())
def test_a_judgement_stays_the_same(prompt, answer, is_wanted):
    record = Judgement(Conversation((*prompt, *answer)), is_wanted)
    assert read_again(rows_of(record, "kto")) == ("kto", record)


@given(st.builds(Document, said, words))
def test_a_document_stays_the_same(record):
    assert read_again(rows_of(record, "text")) == ("text", record)


HELLO = (Message("user", "Hi"), Message("assistant", "Hello"))
CALLING = Message("assistant", "", (ToolCall("f", {}),))
UNFIT = {
    "several questions to xturing": (
        Conversation(HELLO * 2),
        "xturing",
        "2 questions",
    ),
    "a system to xturing": (
        Conversation((Message("system", "x"), *HELLO)),
        "xturing",
        "a system message",
    ),
    "tools to alpaca": (Conversation(HELLO, ({"name": "f"},)), "alpaca", "tools"),
    "calls to alpaca": (
        Conversation((HELLO[0], CALLING)),
        "alpaca",
        "tool calls",
    ),
    "a mark to alpaca": (
        Conversation((*HELLO, HELLO[0], Message("assistant", "x", (), False))),
        "alpaca",
        "turns marked",
    ),
    "a question without an answer to alpaca": (
        Conversation((*HELLO, HELLO[0])),
        "alpaca",
        "not a question and an answer",
    ),
    "words with a call to sharegpt": (
        Conversation((HELLO[0], Message("assistant", "x", CALLING.tool_calls))),
        "sharegpt",
        "both words and tool calls",
    ),
    "several answers to prompt_completion": (
        Conversation(HELLO * 2),
        "prompt_completion",
        "more than one turn to learn",
    ),
    "a document to messages": (Document("x"), "messages", "a document"),
    "a preference to alpaca": (
        Preference(HELLO[:1], HELLO[1:], HELLO[1:]),
        "alpaca",
        "a preference",
    ),
    "a chat to preference": (Conversation(HELLO), "preference", "a conversation"),
    "a chat to kto": (Conversation(HELLO), "kto", "a conversation"),
    "a chat to text": (Conversation(HELLO), "text", "a conversation"),
}


@pytest.mark.parametrize(("record", "shape", "what"), UNFIT.values(), ids=UNFIT)
def test_what_a_shape_cannot_hold_is_refused_with_the_row(record, shape, what):
    with pytest.raises(DataError, match=rf"a\.jsonl, line 7 has .*{what}.*{shape}"):
        list(convert([Placed(record, "a.jsonl, line 7")], shape))


def test_an_unknown_shape_is_refused_before_anything_is_read():
    with pytest.raises(DataError, match="'alpacca'.*Did you mean 'alpaca'"):
        convert([], "alpacca")


@pytest.mark.parametrize("shape", WRITERS)
def test_every_written_shape_is_one_that_is_read(shape):
    with pytest.raises(DataError, match="read by|has the columns"):
        InstructionDataset([{"x": 1}], shape=shape)
