"""Users' words, made harmless: shown as they are and never obeyed."""

import re
from html import escape

NO_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What rows may hold and no document may."""


def printable(text: str) -> str:
    """Return the text with a mark in place of what no document may hold."""
    lines = text.replace("\r\n", "\n")
    return NO_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", lines)


def markup(text: str) -> str:
    """Return the text as HTML and XML write it, in an element or an attribute."""
    return escape(printable(text))
