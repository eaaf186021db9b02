"""The forms of personal data and secrets: a table of patterns and their checks.

From each place a pattern looks at a bounded number of characters, so the time to scan a
text grows with its length and no faster. What has a checksum is checked.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

CARD_NUMBER = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}|6(?:011|4[4-9]\d|5\d\d)\d{12}"
)
IBAN_LENGTHS = {
    entry[:2]: int(entry[2:])
    for entry in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 "
        "DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 "
        "HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 "
        "LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 "
        "QA29 RO24 RS22 SA24 SC31 SD18 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 "
        "UA29 VA22 VG24 XK20"
    ).split()
}
"""Letters and digits of an account number by country (ISO 13616)."""


@dataclass(frozen=True)
class Pattern:
    """A form of personal data or secrets."""

    expression: re.Pattern[str]
    end: Callable[[re.Match[str]], int | None] = lambda match: match.end()
    """Where what was matched ends, or None if it only looks like it."""


def _card_end(match: re.Match[str]) -> int | None:
    digits = re.sub(r"\D", "", match[0])
    if not CARD_NUMBER.fullmatch(digits):
        return None
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    checksum = sum(doubled) + sum(map(int, digits[-1::-2]))
    return match.end() if checksum % 10 == 0 else None


def _iban_end(match: re.Match[str]) -> int | None:
    length = IBAN_LENGTHS.get(match[1][:2])
    ends = [at for at, letter in enumerate(match[1], start=1) if letter != " "]
    if length is None or len(ends) < length:
        return None
    end = ends[length - 1]
    goes_on = match.string[match.start() + end : match.start() + end + 1].isalnum()
    letters = match[1][:end].replace(" ", "")
    number = int("".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4]))
    return match.start() + end if number % 97 == 1 and not goes_on else None


def _address_end(match: re.Match[str]) -> int | None:
    try:
        address = IPv4Address(match[0])
    except AddressValueError:
        return None
    # 1.2.3.4 is a heading or a version, and 8.8.8.8 nobody's home.
    is_told = address.is_global and any(part > 9 for part in address.packed)
    return match.end() if is_told else None


def _made_end(match: re.Match[str]) -> int | None:
    """Return the end of a key, if a machine made it, and not a person from words."""
    key = match[match.lastindex or 0]
    kinds = sum(any(map(of, key)) for of in (str.islower, str.isupper, str.isdigit))
    # Words may be joined by hyphens and written in capitals, but hold no digits.
    is_mixed = kinds > 1 and (key.isalnum() or any(map(str.isdigit, key)))
    return match.end() if is_mixed and len(set(key)) >= 8 else None


def _aws_end(match: re.Match[str]) -> int | None:
    # Amazon's manuals write EXAMPLE into the keys that they show.
    return None if "EXAMPLE" in match[0] else match.end()


def _jwt_end(match: re.Match[str]) -> int | None:
    header = match[0].partition(".")[0]
    try:
        fields = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (binascii.Error, ValueError):
        return None
    return match.end() if isinstance(fields, dict) and "alg" in fields else None


PATTERNS = {
    "private_key": Pattern(
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:\s|\\[nr]){0,6}(?:[A-Za-z-]{1,20}: |[A-Za-z0-9+/]{16})"
        )
    ),
    "jwt": Pattern(
        re.compile(
            r"(?<![\w-])eyJ[\w-]{8,1000}+\.eyJ[\w-]{8,4000}+\.[\w-]{0,1000}", re.ASCII
        ),
        _jwt_end,
    ),
    "aws_key": Pattern(
        re.compile(
            r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])"
            r"|(?i:secret_?access_?key)[\"']?\s{0,3}[:=]\s{0,3}[\"']?"
            r"[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"
        ),
        _aws_end,
    ),
    "api_key": Pattern(
        re.compile(
            r"(?<![A-Za-z0-9_-])(?:"
            r"sk-(?:proj-|svcacct-|admin-|or-v1-|ant-\w{3,10}-)?([\w-]{20,200})"  # LLMs
            r"|gh[opsur]_([A-Za-z0-9]{36,255})|github_pat_(\w{22,255})"
            r"|glpat-([\w-]{20,64})"
            r"|xox[abeoprs]-([A-Za-z0-9-]{10,250})"  # Slack
            r"|AIza([\w-]{35})"  # Google
            r"|[rs]k_live_([A-Za-z0-9]{16,250})"  # Stripe
            r"|hf_([A-Za-z0-9]{30,40})|npm_([A-Za-z0-9]{36})|pypi-AgE([\w-]{50,250})"
            r"|SG\.([\w-]{16,64}\.[\w-]{16,64})"  # SendGrid
            r")",
            re.ASCII,
        ),
        _made_end,
    ),
    # Neither what RFC 2606 sets apart for examples, nor file names as of icon@2x.png.
    "email": Pattern(
        re.compile(
            r"(?<![\w.+%-])(?!git@)[\w.+%-]{1,64}@"
            r"(?!(?:[\w-]{1,63}\.){0,4}(?:example|test|invalid|localhost)\b)"
            r"(?:[A-Za-z0-9-]{1,63}+\.){1,8}"
            r"(?!(?:png|jpe?g|gif|svg|webp|css|js|py)\b)[A-Za-z]{2,24}(?![\w-])"
        )
    ),
    "iban": Pattern(
        re.compile(r"(?<!\w)(?=([A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}))"), _iban_end
    ),
    "credit_card": Pattern(
        re.compile(
            r"(?<![\w.+-])(?:[0-9]{13,19}|[0-9]{4}([ -])(?:[0-9]{6}\1[0-9]{4,5}"
            r"|[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?))(?!\w|[.-]\d)"
        ),
        _card_end,
    ),
    # With the code of a country, or as North Americans write theirs.
    "phone": Pattern(
        re.compile(
            r"(?<![\w+.=/)-])(?<!= )(?:\+[1-9](?:[ .()-]{0,2}[0-9]){7,14}"
            r"|(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])"
            r"[2-9][0-9]{2}[.-][0-9]{4})(?!\w|[.-]\d)"
        )
    ),
    "ipv4": Pattern(
        re.compile(
            r"(?<![\w.])(?<!\w/)(?<!ersion )[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?!\w|\.\d)"
        ),
        _address_end,
    ),
}
"""What is looked for, by kind; where two overlap, the first is told."""
