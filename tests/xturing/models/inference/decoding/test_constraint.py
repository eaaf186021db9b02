"""Answers that fit a schema, whatever the model would rather write."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import jsonschema_rs
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from xturing.core.errors import EngineError, MissingDependencyError, SettingsError
from xturing.models.inference.decoding.constraint import LONGEST_SCHEMA, Schemas
from xturing.models.inference.decoding.sampling import Sampler
from xturing.models.inference.requests import Decoding

VOCABULARY = 512
ENDS = (0, 2)
TOKENIZER = tiny.tokenizer()
SCHEMAS = Schemas(TOKENIZER, VOCABULARY, ENDS)
CLOSING = [TOKENIZER.convert_tokens_to_ids(each) for each in '"}]'] + list(ENDS)
SPACE = TOKENIZER.convert_tokens_to_ids("Ġ")

# Python reads 1e999 as infinite, which is no JSON.
SMALL = {"type": "number", "minimum": -99, "maximum": 99.5}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "address": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "zip": SMALL},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "age", "address"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": ["boolean", "null"]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["value"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
EXAMPLES = {
    "any object": {},
    "nested": PERSON,
    "recursive": TREE,
    "enum": {"enum": ["red", "the quick brown fox", 7, None, {"a": [1]}]},
    "array": {"type": "array", "items": {"type": "integer"}, "maxItems": 4},
    "array of objects": {"type": "array", "items": PERSON, "minItems": 1},
    "either": {"anyOf": [{"const": "yes"}, {"type": "boolean"}, SMALL]},
    "pattern": {"type": "string", "pattern": "^[a-f]{3}-[0-9]+$"},
    "date": {"type": "string", "format": "date"},
}


def write(constraint, seed, most=3000) -> list[int] | None:
    """Return a random answer without its end; None if it does not end in time."""
    sampler = Sampler(Decoding(temperature=1.0, seed=seed), [], constraint)
    generator = np.random.default_rng(seed)
    answer = []
    for written in range(most):
        logits = generator.normal(size=VOCABULARY).astype(np.float32) * 2
        # So that it comes to an end; the tokens that belong to nothing are likeliest.
        logits[CLOSING] += written / 20
        logits[len(TOKENIZER) :] += 50
        token = sampler.choose(logits).id
        if token in ENDS:
            return answer
        answer.append(token)
    return None


def allowed(constraint) -> set[int]:
    scores = constraint.mask(np.zeros(VOCABULARY, np.float32))
    return set(np.flatnonzero(scores == 0).tolist())


def after(schema, text):
    constraint = SCHEMAS.constraint(json.dumps(schema))
    for each in TOKENIZER(text)["input_ids"]:
        constraint.advance(each)
    return constraint


@pytest.mark.parametrize("name", EXAMPLES)
@hypothesis_settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_random_answers_parse_and_fit_the_schema(name, seed):
    schema = EXAMPLES[name]
    answer = write(SCHEMAS.constraint(json.dumps(schema)), seed)
    assert answer is not None
    value = json.loads(TOKENIZER.decode(answer))
    jsonschema_rs.validate(schema or {"type": "object"}, value)


@hypothesis_settings(max_examples=30)
@given(st.sampled_from(sorted(EXAMPLES)), st.integers(0, 2**32))
def test_an_answer_may_end_exactly_where_the_schema_is_complete(name, seed):
    constraint = SCHEMAS.constraint(json.dumps(EXAMPLES[name]))
    answer = write(SCHEMAS.constraint(json.dumps(EXAMPLES[name])), seed)
    assert answer
    for each in answer:
        ends = set(ENDS) & allowed(constraint)
        assert ends == (set(ENDS) if constraint.is_complete else set())
        constraint.advance(each)
    assert constraint.is_complete


def test_every_end_of_the_model_may_end_an_answer():
    assert allowed(after({"type": "object"}, "{}")) == set(ENDS)


def test_an_end_may_be_taken_on_where_it_is_allowed():
    constraint = after({"type": "object"}, "{}")
    constraint.advance(ENDS[0])
    assert constraint.is_complete


def test_an_answer_may_go_on_where_it_may_end():
    found = allowed(after({"type": "integer"}, "1"))
    assert set(ENDS) < found


@pytest.mark.parametrize(
    "text", ["", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1}']
)
def test_no_model_writes_spaces_without_end(text):
    constraint = after({}, text)
    for _ in range(20):
        if SPACE not in allowed(constraint):
            return
        constraint.advance(SPACE)
    pytest.fail(f"twenty spaces are allowed after {text!r}")


def test_json_may_be_indented():
    text = json.dumps({"a": {"b": [1, {"c": None}]}}, indent=2)
    assert after({}, text).is_complete


def test_a_schema_does_not_loosen_the_rules_itself():
    schema = {"type": "object", "x-guidance": {"whitespace_pattern": " +"}}
    constraint = after(schema, "{ ")
    assert SPACE not in allowed(constraint)


def test_a_mask_is_a_copy():
    logits = np.zeros(VOCABULARY, np.float32)
    SCHEMAS.constraint("{}").mask(logits)
    assert not logits.any()


def test_a_mask_leaves_the_logits_of_allowed_tokens_as_they_are():
    logits = np.random.default_rng(0).normal(size=VOCABULARY).astype(np.float32)
    found = SCHEMAS.constraint('{"type": "string"}').mask(logits)
    is_allowed = found != -np.inf
    assert is_allowed.any()
    np.testing.assert_array_equal(found[is_allowed], logits[is_allowed])


def test_special_tokens_stand_in_no_string():
    assert not allowed(after({"type": "string"}, '"a')) & {0, 1, 2}


def test_an_end_that_is_a_text_to_the_tokenizer_stands_in_no_string():
    word = TOKENIZER.convert_tokens_to_ids("the")
    constraint = Schemas(TOKENIZER, VOCABULARY, [word]).constraint('{"type":"string"}')
    for each in TOKENIZER('"a')["input_ids"]:
        constraint.advance(each)
    assert word not in allowed(constraint)


def test_a_token_that_is_not_allowed_is_an_error():
    with pytest.raises(EngineError, match="json_schema"):
        after({"type": "object"}, "x")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "no JSON"),
        ("[" * 30_000, "no JSON"),
        ("[]", "no JSON object"),
        ("true", "no JSON object"),
        ('{"type": "colour"}', "colour"),
        ('{"oneOf": [{"type": "object"}, {"maxProperties": 3}]}', "oneOf"),
        ('{"not": {"type": "string"}}', "not"),
        ('{"x-guidance": {"lenient": true}, "not": {}}', "not"),
        ('{"type": "array", "uniqueItems": true}', "uniqueItems"),
        ('{"type": "string", "pattern": "(?=a)b"}', "look-around"),
        ('{"$ref": "https://example.org/schema"}', "does not fetch"),
        ('{"$ref": "#/nowhere"}', "nowhere"),
        ('{"$ref": "#"}', "no answer fits it"),
        ('{"items":' * 100 + "[1]" + "}" * 100, "cannot be held to"),
        ('{"title": "\\ud800"}', "cannot be held to"),
        ('{"minimum": NaN, "type": "number"}', "cannot be held to"),
        ('{"title": "' + "é" * (LONGEST_SCHEMA // 2) + '"}', "bytes"),
    ],
)
def test_a_schema_that_cannot_be_held_to_is_refused_with_the_reason(schema, said):
    with pytest.raises(SettingsError, match=said):
        SCHEMAS.constraint(schema)


def test_two_answers_to_one_schema_do_not_meddle_with_each_other():
    one, other = (SCHEMAS.constraint('{"type": "object"}') for _ in range(2))
    before = allowed(other)
    for each in TOKENIZER('{"a":')["input_ids"]:
        one.advance(each)
    assert allowed(other) == before


def test_many_threads_and_schemas_give_what_one_gives():
    schemas = [json.dumps({"const": {"a": number}}) for number in range(40)]
    fresh = Schemas(TOKENIZER, VOCABULARY, ENDS)

    def text(schema):
        return TOKENIZER.decode(write(fresh.constraint(schema), 0))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(text, schemas * 2))
    assert [json.loads(each)["a"] for each in found] == [*range(40)] * 2


def test_a_tokenizer_that_cannot_be_read_is_refused():
    schemas = Schemas({}, VOCABULARY, ENDS)
    with pytest.raises(SettingsError, match="tokenizer"):
        schemas.constraint("{}")


def test_the_library_is_missed_only_where_it_is_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    schemas = Schemas(TOKENIZER, VOCABULARY, ENDS)
    with pytest.raises(MissingDependencyError, match=r"xturing-models\[json\]"):
        schemas.constraint("{}")


@pytest.mark.slow
def test_the_real_tokenizer_writes_json_that_fits(smollm2):
    tokenizer = smollm2.engine.tokenizer
    ends = [tokenizer.eos_token_id]
    constraint = Schemas(tokenizer, len(tokenizer), ends).constraint(json.dumps(PERSON))
    sampler = Sampler(Decoding(temperature=1.0, seed=0), [], constraint)
    closing = tokenizer.convert_tokens_to_ids(['"', "}"])
    generator = np.random.default_rng(0)
    answer = []
    while not answer or answer[-1] not in ends:
        logits = generator.normal(size=len(tokenizer)).astype(np.float32)
        logits[closing] += len(answer) / 5
        answer.append(sampler.choose(logits).id)
    jsonschema_rs.validate(PERSON, json.loads(tokenizer.decode(answer[:-1])))
