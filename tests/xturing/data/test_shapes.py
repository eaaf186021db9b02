import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xturing.core.errors import DataError
from xturing.data import (
    Conversation,
    Document,
    InstructionDataset,
    JudgementDataset,
    Message,
    Preference,
    PreferenceDataset,
    TextDataset,
    open_dataset,
)
from xturing.data.records import Judgement, ToolCall
from xturing.data.shapes import SHAPES

SHARED = Path(__file__).parents[4] / "shared" / "data"

ASKED = Message("user", "Why?")
ANSWERED = Message("assistant", "So.")
BE_KIND = Message("system", "Be kind.")
CALL = ToolCall("look", {"at": "sky", "times": 2})
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}


def turn(message):
    return {"role": message.role, "content": message.content}


def spoken(message):
    names = {"user": "human", "assistant": "gpt"}
    return {
        "from": names.get(message.role, message.role),
        "value": message.content,
    }


QUESTION = Conversation((ASKED, ANSWERED))
WITH_SYSTEM = Conversation((BE_KIND, ASKED, ANSWERED))
WITH_TOOLS = Conversation(
    (
        ASKED,
        Message("assistant", "", (CALL,)),
        Message("tool", "blue"),
        ANSWERED,
    ),
    (TOOL,),
)
OPENAI_CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {
            "id": "1",
            "type": "function",
            "function": {"name": "look", "arguments": '{"at": "sky", "times": 2}'},
        }
    ],
}

MEANINGS = {
    "xturing": ({"instruction": "Why?", "text": "", "target": "So."}, QUESTION),
    "alpaca": ({"instruction": "Why?", "output": "So."}, QUESTION),
    "alpaca with a null input": (
        {"instruction": "Why?", "input": None, "output": "So."},
        QUESTION,
    ),
    "alpaca with a system": (
        {"instruction": "Why?", "output": "So.", "system": "Be kind."},
        WITH_SYSTEM,
    ),
    "alpaca with a history": (
        {"instruction": "Why?", "output": "So.", "history": [["Hi", "Hello"]]},
        Conversation(
            (Message("user", "Hi"), Message("assistant", "Hello"), ASKED, ANSWERED)
        ),
    ),
    "question and answer": ({"question": "Why?", "answer": "So."}, QUESTION),
    "a seed task": (
        {"instruction": "Why?", "instances": [{"input": "", "output": "So."}]},
        QUESTION,
    ),
    "messages": ({"messages": [turn(ASKED), turn(ANSWERED)]}, QUESTION),
    "messages as JSON": (
        {"messages": json.dumps([turn(ASKED), turn(ANSWERED)])},
        QUESTION,
    ),
    "messages and a system": (
        {"messages": [turn(ASKED), turn(ANSWERED)], "system": "Be kind."},
        WITH_SYSTEM,
    ),
    "messages and the same system again": (
        {"messages": [turn(BE_KIND), turn(ASKED), turn(ANSWERED)]}
        | {"system": "Be kind."},
        WITH_SYSTEM,
    ),
    "content in parts": (
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
                turn(ANSWERED),
            ]
        },
        QUESTION,
    ),
    "messages with tools": (
        {
            "messages": [
                turn(ASKED),
                OPENAI_CALL,
                {"role": "tool", "tool_call_id": "1", "content": "blue"},
                turn(ANSWERED),
            ],
            "tools": [TOOL],
        },
        WITH_TOOLS,
    ),
    "sharegpt": ({"conversations": [spoken(ASKED), spoken(ANSWERED)]}, QUESTION),
    "sharegpt in words of messages": (
        {"conversations": [turn(ASKED), turn(ANSWERED)]},
        QUESTION,
    ),
    "sharegpt with tools as JSON": (
        {
            "conversations": [
                spoken(ASKED),
                {
                    "from": "function_call",
                    "value": json.dumps({"name": "look", "arguments": CALL.arguments}),
                },
                {"from": "observation", "value": "blue"},
                spoken(ANSWERED),
            ],
            "tools": json.dumps([TOOL["function"]]),
        },
        WITH_TOOLS,
    ),
    "prompt and completion": ({"prompt": "Why?", "completion": "So."}, QUESTION),
    "prompt and completion as messages": (
        {"prompt": [turn(BE_KIND), turn(ASKED)], "completion": [turn(ANSWERED)]},
        WITH_SYSTEM,
    ),
}


@pytest.mark.parametrize(("row", "meant"), MEANINGS.values(), ids=MEANINGS)
def test_each_shape_means_the_conversation_that_it_writes(row, meant):
    assert InstructionDataset([row]).record(0) == meant


def test_turns_of_a_completions_prompt_are_not_learnt():
    row = {
        "prompt": [turn(ASKED), turn(ANSWERED), turn(ASKED)],
        "completion": [turn(ANSWERED)],
    }
    record = InstructionDataset([row]).record(0)
    assert isinstance(record, Conversation)
    assert [message.learns for message in record.messages] == [False] * 3 + [True]


@pytest.mark.parametrize(
    ("flag", "value", "is_learnt"),
    [
        ("train", False, False),
        ("weight", 0, False),
        ("weight", 1.0, True),
        ("learn", True, True),
        ("train", None, True),
    ],
)
def test_a_flag_on_a_turn_says_whether_it_is_learnt(flag, value, is_learnt):
    first = turn(ANSWERED) | {flag: value}
    row = {"messages": [turn(ASKED), first, turn(ASKED), turn(ANSWERED)]}
    record = InstructionDataset([row]).record(0)
    assert isinstance(record, Conversation)
    assert record.messages[1].learns is is_learnt


def test_a_users_turn_can_be_marked_as_learnt():
    row = {"messages": [turn(ASKED) | {"train": True}, turn(ANSWERED)]}
    record = InstructionDataset([row]).record(0)
    assert isinstance(record, Conversation)
    assert record.messages[0].learns


def chat(*messages, **columns):
    return {"messages": list(messages), **columns}


BAD_ROWS = {
    "half a weight": (
        chat(turn(ASKED), turn(ANSWERED) | {"weight": 0.5}),
        r"row 1, field 'messages', message 2, field 'weight': this is 0\.5",
    ),
    "flags that disagree": (
        chat(turn(ASKED), turn(ANSWERED) | {"weight": 0, "train": True}),
        "message 2 has .* which contradict each other",
    ),
    "nothing to learn": (
        chat(turn(ASKED), turn(ANSWERED) | {"train": False}),
        "row 1 has no message that is learnt",
    ),
    "thoughts": (
        chat(turn(ASKED), turn(ANSWERED) | {"reasoning_content": "hm"}),
        "message 2 has 'reasoning_content', which would be lost",
    ),
    "a picture": (
        chat(turn(ASKED), turn(ANSWERED), images=["a.png"]),
        "row 1 has 'images'.*lost",
    ),
    "a part that is a picture": (
        chat({"role": "user", "content": [{"type": "image_url"}]}, turn(ANSWERED)),
        "message 1, field 'content'.*not a string or a list of parts",
    ),
    "two systems": (
        chat(turn(BE_KIND), turn(ASKED), turn(ANSWERED), system="Be rude."),
        "row 1 has the field 'system' and begins with a system message",
    ),
    "a call without a name": (
        chat(turn(ASKED), {"role": "assistant", "tool_calls": [{"arguments": {}}]}),
        "message 2 has the tool call .* A tool call is",
    ),
    "arguments that are no object": (
        chat(
            turn(ASKED),
            {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[1]"}]},
        ),
        "message 2 has the tool call",
    ),
    "a call that is no JSON": (
        {"conversations": [spoken(ASKED), {"from": "function_call", "value": "{"}]},
        "field 'conversations', message 2 has the tool call",
    ),
    "tools that are no list": (
        chat(turn(ASKED), turn(ANSWERED), tools="none"),
        "field 'tools': this is 'none'",
    ),
    "a tool without a name": (
        chat(turn(ASKED), turn(ANSWERED), tools=[{"parameters": {}}]),
        "field 'tools' has .* A tool is",
    ),
    "a history of one": (
        {"instruction": "a", "output": "b", "history": [["c"]]},
        "field 'history', pair 1 is",
    ),
    "a history of numbers": (
        {"instruction": "a", "output": "b", "history": [["c", 1]]},
        "field 'history', pair 1, field 'answer': this is 1",
    ),
    "a task of two instances": (
        {"instruction": "a", "instances": [{"output": "b"}, {"output": "c"}]},
        "has the 2 instances",
    ),
    "an empty completion": (
        {"prompt": "a", "completion": " "},
        "field 'completion' is empty",
    ),
    "a prompt that is a number": (
        {"prompt": 3, "completion": "a"},
        "field 'prompt': this is 3",
    ),
}


@pytest.mark.parametrize(("row", "message"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_what_would_be_lost_or_is_wrong_is_refused_by_name(row, message):
    with pytest.raises(DataError, match=message):
        InstructionDataset([row])


PREFERENCE = Preference((ASKED,), (ANSWERED,), (Message("assistant", "No."),))
NO = Message("assistant", "No.")
PREFERENCES = {
    "strings": {"prompt": "Why?", "chosen": "So.", "rejected": "No."},
    "messages": {
        "prompt": [turn(ASKED)],
        "chosen": [turn(ANSWERED)],
        "rejected": [turn(NO)],
    },
    "a string and single messages": {
        "prompt": "Why?",
        "chosen": turn(ANSWERED),
        "rejected": turn(NO),
    },
    "sharegpt": {
        "conversations": [spoken(ASKED)],
        "chosen": spoken(ANSWERED),
        "rejected": spoken(NO),
    },
    "an implicit prompt": {
        "chosen": [turn(ASKED), turn(ANSWERED)],
        "rejected": [turn(ASKED), turn(NO)],
    },
    "a prompt that the answers repeat": {
        "prompt": "Why?",
        "chosen": [turn(ASKED), turn(ANSWERED)],
        "rejected": [turn(ASKED), turn(NO)],
    },
}


EARLIER = (Message("user", "Hi"), Message("assistant", "Hello"))
INSTRUCTED = {"instruction": "Why?", "chosen": "So.", "rejected": "No."}
INSTRUCTED_PREFERENCES = {
    "alone": (INSTRUCTED, (ASKED,)),
    "an input": (INSTRUCTED | {"input": "Sky"}, (Message("user", "Why?\nSky"),)),
    "a system": (INSTRUCTED | {"system": "Be kind."}, (BE_KIND, ASKED)),
    "a history": (INSTRUCTED | {"history": [["Hi", "Hello"]]}, (*EARLIER, ASKED)),
}


@pytest.mark.parametrize(
    ("row", "prompt"), INSTRUCTED_PREFERENCES.values(), ids=INSTRUCTED_PREFERENCES
)
def test_a_preference_can_ask_with_an_instruction(row, prompt):
    dataset = open_dataset([row])
    assert dataset.shape.name == "alpaca_preference"
    assert dataset.record(0) == Preference(prompt, (ANSWERED,), (NO,))


@pytest.mark.parametrize("row", PREFERENCES.values(), ids=PREFERENCES)
def test_a_preference_means_the_same_in_every_form(row):
    assert PreferenceDataset([row]).record(0) == PREFERENCE


def test_a_system_message_that_only_the_answers_repeat_joins_the_prompt():
    row = {
        "prompt": "Why?",
        "chosen": [turn(BE_KIND), turn(ASKED), turn(ANSWERED)],
        "rejected": [turn(BE_KIND), turn(ASKED), turn(NO)],
    }
    record = PreferenceDataset([row]).record(0)
    assert record == Preference((BE_KIND, ASKED), (ANSWERED,), (NO,))


def test_public_preference_rows_are_prompt_chosen_and_rejected():
    assert list(PreferenceDataset([PREFERENCES["strings"]])) == [PREFERENCES["strings"]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "are the same"),
        ({"chosen": "a", "rejected": "b"}, "has no prompt"),
        (
            {"prompt": "a", "chosen": [turn(ASKED)], "rejected": "b"},
            "field 'chosen': behind the prompt 'user' speaks first",
        ),
        ({"prompt": "a", "chosen": "", "rejected": "b"}, "field 'chosen' is empty"),
        ({"prompt": "a", "chosen": None, "rejected": "b"}, "field 'chosen'"),
        (
            {"prompt": [turn(ANSWERED)], "chosen": "a", "rejected": "b"},
            "message 1 is the assistant's",
        ),
        (
            {"prompt": "a", "chosen": turn(NO) | {"train": False}, "rejected": "b"},
            "field 'chosen' has no message that is learnt",
        ),
        (INSTRUCTED | {"chosen": ""}, "field 'chosen' is empty"),
        (INSTRUCTED | {"tools": "x"}, "field 'tools': this is 'x'"),
    ],
    ids=[
        "equal answers",
        "no prompt",
        "no answer",
        "empty",
        "null",
        "answer first",
        "not learnt",
        "empty to an instruction",
        "tools with an instruction",
    ],
)
def test_a_wrong_preference_is_refused(row, message):
    with pytest.raises(DataError, match=message):
        PreferenceDataset([row])


@pytest.mark.parametrize(
    ("label", "is_wanted"), [(True, True), (0, False), ("True", True)]
)
def test_a_judgement_says_whether_an_answer_is_wanted(label, is_wanted):
    row = {"prompt": "Why?", "completion": "So.", "label": label}
    assert JudgementDataset([row]).record(0) == Judgement(QUESTION, is_wanted)


JUDGEMENTS = {
    "kto": {"prompt": "Why?", "completion": "So."},
    "messages_kto": {"messages": [turn(ASKED), turn(ANSWERED)]},
    "sharegpt_kto": {"conversations": [spoken(ASKED), spoken(ANSWERED)]},
    "alpaca_kto": {"instruction": "Why?", "input": "", "output": "So."},
}


@pytest.mark.parametrize("verdict", ["label", "kto_tag"])
@pytest.mark.parametrize("shape", JUDGEMENTS)
def test_a_judgement_means_the_same_in_every_form(shape, verdict):
    dataset = open_dataset([JUDGEMENTS[shape] | {verdict: False}])
    assert dataset.shape.name == shape
    assert dataset.record(0) == Judgement(QUESTION, False)


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [turn(m) for m in (*EARLIER, ASKED, ANSWERED)]},
        {"instruction": "Why?", "history": [["Hi", "Hello"]], "output": "So."},
        {"prompt": [turn(m) for m in (*EARLIER, ASKED)], "completion": "So."},
    ],
    ids=["messages", "history", "prompt"],
)
def test_of_a_judged_conversation_the_last_answer_alone_is_learnt(row):
    record = JudgementDataset([row | {"label": True}]).record(0)
    assert isinstance(record, Judgement)
    learnt = [turn.learns for turn in record.conversation.messages]
    assert learnt == [False] * 3 + [True]


@pytest.mark.parametrize(
    "turns", [[ASKED], [ANSWERED], [ANSWERED, ASKED]], ids=["asked", "said", "both"]
)
def test_a_conversation_without_an_answer_cannot_be_judged(turns):
    row = {"messages": [turn(message) for message in turns], "label": True}
    with pytest.raises(DataError, match="row 1, field 'messages': there is no answer"):
        JudgementDataset([row])


def test_a_label_is_a_verdict_before_its_other_name_is():
    row = JUDGEMENTS["kto"] | {"label": True, "kto_tag": False}
    dataset = JudgementDataset([row])
    assert dataset.decision.endswith("; kto_tag is not used")
    assert dataset[0]["label"] is True


@pytest.mark.parametrize("shape", ["messages", "sharegpt", "alpaca"])
def test_a_label_that_is_a_topic_makes_no_judgement(shape):
    row = JUDGEMENTS[f"{shape}_kto"] | {"label": "physics"}
    dataset = open_dataset([row])
    assert dataset.shape.name == shape
    assert "label is not used" in dataset.decision


@pytest.mark.parametrize("label", ["maybe", None, 2])
def test_a_label_that_is_no_verdict_is_refused(label):
    with pytest.raises(DataError, match="field 'label': this is .*not true or false"):
        JudgementDataset([{"prompt": "Why?", "completion": "So.", "label": label}])


@pytest.mark.parametrize(
    "dataset",
    [
        InstructionDataset([row for row, _ in MEANINGS.values() if "output" in row]),
        InstructionDataset(
            [MEANINGS["messages"][0], MEANINGS["messages with tools"][0]]
        ),
        PreferenceDataset([PREFERENCES["strings"]]),
        PreferenceDataset([PREFERENCES["messages"]]),
        PreferenceDataset([row for row, _ in INSTRUCTED_PREFERENCES.values()]),
        JudgementDataset([{"prompt": "Why?", "completion": "So.", "label": False}]),
        JudgementDataset([JUDGEMENTS["messages_kto"] | {"kto_tag": True}]),
    ],
    ids=[
        "alpaca",
        "messages",
        "preferences",
        "preferred messages",
        "instructed preferences",
        "judgements",
        "judged messages",
    ],
)
def test_what_is_saved_means_the_same_when_it_is_loaded(dataset, tmp_path):
    dataset.save(tmp_path / "saved")
    loaded = type(dataset)(tmp_path / "saved")
    records = [dataset.record(index) for index in range(len(dataset))]
    assert [loaded.record(index) for index in range(len(loaded))] == records


DECISIONS = {
    "plain": (
        MEANINGS["alpaca"][0],
        {},
        "alpaca, because the rows have instruction and output",
    ),
    "columns without a meaning": (
        {"id": 1, "question": "a", "answer": "b", "lang": "en"},
        {},
        "question_answer, because the rows have question and answer; "
        "id and lang are not used",
    ),
    "mapped": (
        {"q": "a", "a": "b"},
        {"columns": {"instruction": "q", "target": "a"}},
        "xturing, because the rows have q (as instruction) and a (as target)",
    ),
    "forced": (
        {"prompt": "a", "completion": "b", "label": True},
        {"shape": "prompt_completion"},
        "prompt_completion, because it was asked for and the rows have prompt and "
        "completion; label is not used",
    ),
}


@pytest.mark.parametrize(
    ("row", "options", "decision"), DECISIONS.values(), ids=DECISIONS
)
def test_the_decision_is_told_with_its_reason(row, options, decision):
    assert open_dataset([row], **options).decision == decision


def test_another_name_of_a_column_is_told_in_the_decision():
    row = JUDGEMENTS["messages_kto"] | {"kto_tag": True}
    assert open_dataset([row]).decision == (
        "messages_kto, because the rows have messages and kto_tag (as label)"
    )


def test_a_column_that_a_forced_shape_does_not_name_is_not_read():
    row = {"question": "Why?", "answer": "So.", "text": "Sky"}
    assert InstructionDataset([row], shape="question_answer").record(0) == QUESTION


AMBIGUOUS = {
    "two questions to a preference": {"prompt": "a", **INSTRUCTED},
    "an answer and a preference": {"output": "c", **INSTRUCTED},
    "a judged chat and a judged answer": {**JUDGEMENTS["kto"], "label": True}
    | JUDGEMENTS["messages_kto"],
    "two answers": {"instruction": "a", "output": "b", "target": "c"},
    "a chat and a preference": {
        "messages": [turn(ASKED), turn(ANSWERED)],
        **PREFERENCES["strings"],
    },
    "alpaca with a text": {"instruction": "a", "output": "b", "text": "c"},
}


@pytest.mark.parametrize("row", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_columns_that_could_mean_several_things_are_refused_with_the_candidates(row):
    with pytest.raises(DataError, match=r'could be \w+ \(.*\) or \w+ \(.*shape="\w+"'):
        open_dataset([row])


def test_a_forced_shape_settles_what_is_ambiguous():
    row = AMBIGUOUS["two answers"]
    assert InstructionDataset([row], shape="alpaca")[0]["target"] == "b"


def test_the_kind_of_dataset_settles_what_is_ambiguous():
    row = AMBIGUOUS["a chat and a preference"]
    assert InstructionDataset([row]).shape.name == "messages"
    assert PreferenceDataset([row]).shape.name == "preference"


@pytest.mark.parametrize(
    ("dataset", "row", "name"),
    [
        (InstructionDataset, PREFERENCES["sharegpt"], "PreferenceDataset"),
        (
            InstructionDataset,
            {"prompt": "a", "completion": "b", "label": False},
            "JudgementDataset",
        ),
        (
            InstructionDataset,
            {"messages": [turn(ASKED)], "kto_tag": True},
            "JudgementDataset",
        ),
        (TextDataset, MEANINGS["xturing"][0], "InstructionDataset"),
        (InstructionDataset, {"text": "a"}, "TextDataset"),
        (PreferenceDataset, MEANINGS["alpaca"][0], "InstructionDataset"),
    ],
    ids=["preference", "judgement", "kto_tag", "instruction", "text", "alpaca"],
)
def test_rows_of_another_kind_are_refused_with_the_dataset_that_reads_them(
    dataset, row, name
):
    with pytest.raises(DataError, match=f"which {name} reads"):
        dataset([row])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": "alpacca"}, "no shape 'alpacca'. Did you mean 'alpaca'"),
        ({"shape": "kto"}, "'kto' are read by JudgementDataset"),
        ({"shape": "messages"}, "has the columns 'question', 'reply'"),
        (
            {"columns": {"instrution": "question"}},
            "names 'instrution'.*Did you mean 'instruction'",
        ),
        (
            {"columns": {"target": "replay"}},
            "row 1 has no such column. Did you mean 'reply'",
        ),
        ({"columns": {"instruction": "question"}}, "has the columns"),
    ],
    ids=["misspelt", "another kind", "no fit", "ours", "theirs", "half"],
)
def test_a_wrong_option_is_answered_with_the_nearest_right_one(options, message):
    with pytest.raises(DataError, match=message):
        InstructionDataset([{"question": "a", "reply": "b"}], **options)


def test_a_mapped_column_is_named_as_the_file_names_it():
    rows = [{"q": "a", "a": "b"}, {"q": "a", "a": ""}]
    with pytest.raises(DataError, match="row 2, field 'a' is empty"):
        InstructionDataset(rows, columns={"instruction": "q", "target": "a"})


def test_a_map_can_swap_columns():
    row = {"instruction": "answer", "target": "question"}
    swapped = {"instruction": "target", "target": "instruction"}
    dataset = InstructionDataset([row], columns=swapped)
    assert dataset[0] == {"instruction": "question", "text": "", "target": "answer"}


TEMPLATE = "Do: {instruction}\nWith: {text}\n{{}} "
BRACED = {"instruction": "{text} {0}", "text": "{target}", "target": "{x}"}


@pytest.mark.parametrize("name", ["prompt_template", "promt_template"])
def test_a_prompt_template_writes_the_fields_as_they_are(name):
    dataset = InstructionDataset([BRACED], **{name: TEMPLATE})
    prompt = "Do: {text} {0}\nWith: {target}\n{} "
    assert dataset.record(0) == Document("{x}", prompt=prompt)
    assert dataset.prompts() == [prompt]
    assert dataset[0] == BRACED


def test_a_prompt_template_can_place_the_target():
    dataset = InstructionDataset(
        [{"instruction": "a", "target": "b"}],
        prompt_template="{instruction} -> {target}.",
    )
    assert dataset.prompt_template is not None
    assert dataset.prompt_template.around(dataset[0]) == ("a -> ", ".")


def test_an_infix_instruction_is_written_around_text_and_target():
    row = {"instruction": "{{In}}: {text} out: {target}!", "text": "{a}", "target": "b"}
    dataset = InstructionDataset([row], True)
    assert dataset.record(0) == Document("b", prompt="{{In}}: {a} out: ")


def test_a_selection_keeps_the_prompt_template():
    rows = [{"instruction": str(number), "target": "b"} for number in range(3)]
    dataset = InstructionDataset(rows, prompt_template="Q{instruction}")
    assert dataset.select([2]).record(0) == Document("b", prompt="Q2")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("no field", "needs the field {instruction}"),
        ("{text}", "needs the field {instruction}"),
        ("{instruction} {texts}", "'{texts}'. Did you mean 'text'"),
        ("{instruction!r}", "A field is a name alone"),
        ("{instruction:>9}", "A field is a name alone"),
        ("{instruction", "cannot be read.*{{ and }}"),
        ("{instruction}{target}{target}", "at most one {target}"),
        ("{instruction}", "row 1 has the text 'x'.*no {text}"),
    ],
)
def test_a_wrong_prompt_template_is_refused(template, message):
    row = {"instruction": "a", "text": "x", "target": "b"}
    with pytest.raises(DataError, match=message):
        InstructionDataset([row], prompt_template=template)


@pytest.mark.parametrize(
    "instruction",
    [
        "a",
        "{text}",
        "{target}",
        "{target} {text}",
        "{text}{text}{target}",
        "{text}{target}{target}",
        "{target}{text}{target}",
    ],
)
def test_an_infix_instruction_needs_one_text_before_one_target(instruction):
    row = {"instruction": instruction, "text": "x", "target": "b"}
    with pytest.raises(DataError, match="row 1: the instruction .* needs exactly"):
        InstructionDataset([row], infix_instruction=True)


def test_a_chat_has_no_place_in_a_prompt_template():
    with pytest.raises(DataError, match="row 1 has 'messages'"):
        InstructionDataset([MEANINGS["messages"][0]], prompt_template="{instruction}")


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(
        ["user", "assistant", "gpt", "human", "function_call", "[]", "{}"]
    )
)
fields = st.sampled_from(
    "role content from value tool_calls train weight function name arguments input "
    "output text type".split()
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=4)
    ),
    max_leaves=12,
)
speakers = st.sampled_from(["user", "assistant", "tool", "function_call", "bot"])
turns = st.fixed_dictionaries(
    {"role": speakers, "content": leaves | values},
    optional={"tool_calls": values, "train": leaves, "weight": leaves},
)
values |= st.lists(turns, max_size=4)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@given(data=st.data())
def test_any_values_in_the_right_columns_are_rows_or_a_data_error(shape, data):
    row = {column: data.draw(values) for column in shape.names.values()}
    with suppress(DataError):
        open_dataset([row], shape=shape.name).record(0)


HUGE = "x" * 5000
huge_values = st.recursive(
    st.sampled_from([HUGE, "user", "a", 10**4000, True, HUGE.encode()]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=8)
        | st.dictionaries(fields | st.just(HUGE), inner, min_size=1, max_size=4)
        | st.fixed_dictionaries({"role": inner, "content": inner})
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@settings(max_examples=40)
@given(data=st.data())
def test_an_error_is_short_however_huge_a_row_is(shape, data):
    row = {column: data.draw(huge_values) for column in shape.columns.values()}
    more = {f"{HUGE}{number}": "a" for number in range(data.draw(st.integers(0, 30)))}
    for options in ({"shape": shape.name}, {}, {"columns": {"instruction": "b"}}):
        message = refusal([row | more], **options)
        assert len(message) < 2000


def refusal(rows, **options):
    """Return what is said of rows that cannot be read."""
    try:
        open_dataset(rows, **options).record(0)
    except DataError as error:
        return str(error)
    return ""


def test_a_number_that_python_does_not_write_is_refused():
    with pytest.raises(DataError, match="field 'text': this is a value too long"):
        TextDataset([{"text": 10**5000}])


@given(st.dictionaries(st.sampled_from([*MEANINGS["xturing"][0], "q"]), values))
@example({})
def test_any_row_is_read_or_a_data_error(row):
    with suppress(DataError):
        open_dataset([row]).record(0)


@given(st.text(max_size=12) | st.text("{}!:[]. instructiontextarget", max_size=24))
def test_any_prompt_template_is_parsed_or_a_data_error(template):
    row = {"instruction": "a", "text": "", "target": "b"}
    with suppress(DataError):
        InstructionDataset([row], prompt_template=template).record(0)


REAL = {
    "alpaca_en.json": (999, "alpaca"),
    "preference_en.json": (300, "sharegpt_preference"),
    "toolcall_sharegpt_en.json": (300, "sharegpt"),
    "seed_tasks.jsonl": (175, "seed_tasks"),
    "gsm8k_300.jsonl": (300, "question_answer"),
}


@pytest.mark.parametrize(("file", "found"), REAL.items(), ids=REAL)
def test_real_files_open_with_no_option(file, found):
    if not (SHARED / file).is_file():
        pytest.skip("the real rows are kept beside the project, not in it")
    dataset = open_dataset(SHARED / file)
    assert (len(dataset), dataset.shape.name) == found


def test_every_real_tool_call_is_kept():
    file = SHARED / "toolcall_sharegpt_en.json"
    if not file.is_file():
        pytest.skip("the real rows are kept beside the project, not in it")
    dataset = InstructionDataset(file)
    records = [dataset.record(index) for index in range(len(dataset))]
    calls = file.read_text().count('"function_call"')
    assert calls == sum(
        len(message.tool_calls)
        for record in records
        if isinstance(record, Conversation)
        for message in record.messages
    )
