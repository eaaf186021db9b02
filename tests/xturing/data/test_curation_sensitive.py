import base64
import json
import re
import string
from re import _constants as code
from re import _parser as parser

import pytest
from curated import law, rows_of
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.errors import UnknownNameError
from xturing.data.curation import find_sensitive
from xturing.data.curation.patterns import IBAN_LENGTHS, PATTERNS
from xturing.data.records import Conversation, Document, Message, ToolCall

MIXED = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zAbCdEfGhIjKlMnOpQrStUvWxYz0123456789"


def encoded(fields):
    text = json.dumps(fields).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


JWT = f"{encoded({'alg': 'HS256'})}.{encoded({'sub': '123456'})}.{MIXED[:43]}"

# Keys are put together here, so that no scanner takes this file for a leak.
POSITIVES = {
    "email": ["jane.doe+news@mail.firm.co.uk", "j@x.io"],
    "phone": ["+49 30 901820", "+1 (415) 555-2671", "(415) 555-2671", "415-555-2671"],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"],
    "credit_card": ["4111 1111 1111 1111", "378282246310005", "5555-5555-5555-4444"],
    "ipv4": ["93.184.216.34", "203.0.114.7"],
    "aws_key": [
        "AKIA" + "Q3EGRIZAXB5KQZ7T",
        "secret_access_key = '" + MIXED[:40] + "'",
    ],
    "api_key": [
        "sk-" + MIXED[:48],
        "sk-proj-" + MIXED[:48],
        "sk-ant-" + "api03-" + MIXED,
        "ghp_" + MIXED[:36],
        "hf_" + (string.ascii_letters[::-1])[:34],
        "AIza" + MIXED[:35],
        "xoxb-" + "123456789012-" + MIXED[:24],
        "sk_live_" + MIXED[:24],
        "glpat-" + MIXED[:20],
    ],
    "private_key": ["-----BEGIN RSA PRIVATE KEY-----\n" + MIXED],
    "jwt": [JWT],
}
LOOK_ALIKES = [
    "write to someone@example.com or me@localhost",
    "git@github.com:firm/project.git",
    "icon@2x.png and @decorator and a @ b.c",
    "package@1.2.3 and user@host",
    "version 10.2.3.40, Chrome/99.0.12.34, v20.1.2.3",
    "see 1.2.3.4 and 127.0.0.1 and 192.168.1.20 and 300.1.2.3 and 1.22.3.4.5",
    "DE88 3704 0044 0532 0130 00",
    "XX89 3704 0044 0532 0130 00",
    "4111 1111 1111 1112",
    "0000 0000 0000 0000 and 1234567890123456",
    "2023-01-15 12:30:45, 1,000,000 and 3.14159265358979",
    "978-3-16-148410-0 and 123e4567-e89b-12d3-a456-426614174000",
    "1 + 2 = 3, x = +12345678901, 12-34-5678",
    "sk-learn-pipelines-with-many-steps-and-words",
    "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx and sk-YOUR_API_KEY_GOES_RIGHT_HERE",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
    "-----BEGIN PUBLIC KEY-----\n" + MIXED,
    "eyJhbGciOi.eyJzdWIiOi.x and eyJubyI6ImFsZ29yaXRobSJ9.eyJzdWIiOiIxIn0.abc",
    "call 555 2671 or 12345678",
]


def found(text, **options):
    return find_sensitive(rows_of([Document(text)]), **options)


@pytest.mark.parametrize(
    ("kind", "secret"), [(kind, text) for kind in POSITIVES for text in POSITIVES[kind]]
)
def test_what_has_the_form_is_found_where_it_stands(kind, secret):
    (finding,) = found(f"Here: {secret}, as asked.")
    assert (finding.kind, finding.start) == (kind, 6)


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_what_only_looks_like_it_is_not_found(text):
    assert found(text) == ()


def test_every_kind_has_a_positive():
    assert set(POSITIVES) == set(PATTERNS)


@pytest.mark.parametrize("kind", POSITIVES)
def test_an_excerpt_never_shows_more_than_a_quarter(kind):
    for secret in POSITIVES[kind]:
        (finding,) = found(secret)
        shown = finding.excerpt.partition("…")[0]
        assert secret.startswith(shown)
        assert len(shown) <= min(4, len(secret) / 4)


@law
@given(digits=st.text(string.digits, min_size=18, max_size=18))
def test_an_account_number_is_found_if_and_only_if_its_checksum_is_right(digits):
    checksum = 98 - int(f"{digits}131400") % 97
    for check in (checksum, (checksum + 1) % 97):
        number = f"DE{check:02}{digits}"
        is_right = int(f"{digits}1314{check:02}") % 97 == 1
        assert bool(found(number, kinds=["iban"])) == is_right


def test_lengths_of_account_numbers_are_possible():
    assert all(15 <= length <= 34 for length in IBAN_LENGTHS.values())


def test_findings_tell_row_text_and_place():
    call = ToolCall("mail", {"to": "jane@firm.org"})
    row = Conversation((Message("user", "hi"), Message("assistant", "", (call,))))
    (finding,) = find_sensitive(rows_of([Document("a"), row]))
    assert (finding.row, finding.place) == (1, "row 2")
    assert finding.where == "message 2, tool call mail"


def test_where_two_forms_overlap_one_is_told():
    (finding,) = found("send it to 4155552671@pager.firm.org now")
    assert finding.kind == "email"


def test_only_the_kinds_asked_for_are_found():
    text = "jane@firm.org, 93.184.216.34"
    assert [f.kind for f in found(text, kinds=["ipv4"])] == ["ipv4"]


def test_an_unknown_kind_is_answered_with_the_close_ones():
    with pytest.raises(UnknownNameError, match="'email'"):
        found("", kinds=["e-mail"])


@law
@given(text=st.text())
def test_any_text_can_be_scanned(text):
    found(text)


REPEATS = {code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT}


def widths(parsed):
    """Yield the greatest number of times that each repeat of a pattern goes on."""
    for operator, arguments in parsed:
        if operator in REPEATS:
            _, most, inner = arguments
            nested = [*widths(inner)]
            yield most * max(nested, default=1)
        elif operator is code.BRANCH:
            for branch in arguments[1]:
                yield from widths(branch)
        elif isinstance(arguments, tuple):
            for argument in arguments:
                if isinstance(argument, parser.SubPattern):
                    yield from widths(argument)


@pytest.mark.parametrize("kind", PATTERNS)
def test_from_each_place_a_pattern_reads_a_bounded_number_of_characters(kind):
    expression = PATTERNS[kind].expression
    found = [*widths(parser.parse(expression.pattern, expression.flags & ~re.U))]
    assert max(found) <= 4000


@pytest.mark.parametrize("kind", PATTERNS)
@pytest.mark.parametrize(
    "unit", ["a", "a.", "a@", "a@a.", "1", "1 ", "+1 ", "(", "eyJa", "sk-a", "DE89 1 "]
)
def test_long_texts_made_to_be_slow_are_scanned_to_their_end(kind, unit):
    text = unit * (200_000 // len(unit))
    (finding,) = found(f"{text} \n {POSITIVES[kind][0]}", kinds=[kind])[-1:]
    assert finding.start == len(text) + 3
