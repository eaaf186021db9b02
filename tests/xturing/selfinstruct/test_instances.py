import asyncio

import pytest
from asked import Asked, caller, reply

from xturing.selfinstruct import Instance, Reply, SelfInstructConfig
from xturing.selfinstruct.asking import Asking
from xturing.selfinstruct.bootstrap import Instruction
from xturing.selfinstruct.instances import (
    Task,
    make_instances,
    read_instances,
    tell_kinds,
)
from xturing.selfinstruct.prompts import Prompts

INSTRUCTION = Instruction(
    text="Sort the words by length.",
    request=0,
    most_similar={},
    average_similarity=0.0,
    finish_reason="stop",
)


def asking(*replies):
    return Asking(caller(Asked(replies)), Prompts(), SelfInstructConfig())


def taken(text, *, is_classification=False, finish_reason="stop"):
    said = reply(text)
    said = Reply(text=text, finish_reason=finish_reason, usage=said.usage)
    task = Task(instruction=INSTRUCTION, is_classification=is_classification, said="")
    work = asking(said)
    (exercise,) = asyncio.run(make_instances(work, [task]))
    pairs = [(each.input, each.output) for each in exercise.instances]
    return pairs, list(work.rejections.by_reason())


def test_examples_are_read_from_inputs_to_outputs():
    text = (
        "Example 1\nInput: b, aa\nOutput: b, aa\nExample 2\nInput: a\nb\nOutput: b\na"
    )
    assert read_instances(text, is_classification=False) == [
        Instance(input="b, aa", output="b, aa"),
        Instance(input="a\nb", output="b\na"),
    ]


@pytest.mark.parametrize("nothing", ["none", "None.", "(none)", "N/A", "<no input>"])
def test_no_input_is_an_empty_one(nothing):
    text = f"Example 1\nInput: {nothing}\nOutput: fine"
    found = read_instances(text, is_classification=False)
    assert found == [Instance(input="", output="fine")]


def test_marks_in_bold_are_read():
    text = "**Example 1**\n**Input:** one\n**Output:** two"
    found = read_instances(text, is_classification=False)
    assert found == [Instance(input="one", output="two")]


def test_an_output_alone_is_an_example():
    found = read_instances("Output: two", is_classification=False)
    assert found == [Instance(input="", output="two")]


def test_classes_are_read_before_their_inputs():
    text = (
        "Example 1\nClass label: good\nInput: fine\nExample 2\nClass label: bad\nawful"
    )
    assert read_instances(text, is_classification=True) == [
        Instance(input="fine", output="good"),
        Instance(input="awful", output="bad"),
    ]


def test_a_text_without_any_example_is_told():
    assert taken("I cannot do this.") == ([], ["no example in the answer"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Input: a\nOutput:", "empty output"),
        ("Input: a\nOutput: a", "output repeats the input"),
        ("Input: a\nOutput: b:", "ends with a colon"),
        ("", "no answer"),
    ],
)
def test_an_example_that_teaches_nothing_is_left_out(text, reason):
    assert taken(text) == ([], [reason])


def test_what_is_cut_off_is_left_out():
    text = "Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutput: half of"
    assert taken(text, finish_reason="length") == ([("a", "b")], ["cut off"])


def test_two_outputs_for_one_input_leave_out_the_task():
    text = "Example 1\nInput: a\nOutput: b\nExample 2\nInput: a\nOutput: c"
    assert taken(text) == ([], ["two outputs for one input"])


def test_an_example_that_is_given_twice_counts_once():
    text = "Example 1\nInput: a\nOutput: b\nExample 2\nInput: a\nOutput: b"
    assert taken(text) == ([("a", "b")], [])


@pytest.mark.parametrize(
    ("said", "kind"),
    [("Yes", True), (" yes.", True), ("No", False), ("Yesterday", False)],
)
def test_the_kind_of_a_task_is_the_first_word_of_the_answer(said, kind):
    (task,) = asyncio.run(tell_kinds(asking(reply(said)), [INSTRUCTION]))
    assert (task.is_classification, task.said) == (kind, said.strip())
