"""Mail: subject, date, text and the names of what is attached."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from xturing.data.documents import TextPart, UnreadableError
from xturing.data.documents.html_file import html_text

HEADERS = ("Subject", "From", "To", "Date")
MOST_NESTED = 500
"""Parts with parts in a mail: the time to read them grows with their square."""


def read(path: Path) -> Iterator[TextPart]:
    """Yield the message as one part."""
    data = path.read_bytes()
    if data.lower().count(b"boundary=") > MOST_NESTED:
        raise UnreadableError(f"has more than {MOST_NESTED} parts with parts in them")
    mail = message_from_bytes(data, policy=policy.default)
    if not any(header in mail for header in HEADERS):
        raise UnreadableError("has none of a mail's headers (Subject, From, To, Date)")
    lines = [f"{name}: {mail[name]}" for name in ("Subject", "Date") if mail[name]]
    names = [part.get_filename() or "unnamed" for part in mail.iter_attachments()]
    if names:
        lines.append(f"Attachments: {', '.join(names)}")
    yield TextPart("", "\n".join([*lines, "", _body(mail)]))


def _body(mail: EmailMessage) -> str:
    body = mail.get_body(("plain", "html"))
    if body is None:
        return ""
    text = body.get_content()
    return html_text(text) if body.get_content_subtype() == "html" else text
