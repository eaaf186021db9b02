"""Keys of services: where they are found, and how they stay out of sight."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from xturing.core.errors import SettingsError

HIDDEN = "***"


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key, and where it is from."""

    text: str = field(repr=False)
    place: str
    """In words, to be put after "the key": "in OPENAI_API_KEY"."""

    def hidden_in(self, text: str) -> str:
        """Return a text that may show the key without it."""
        return text.replace(self.text, HIDDEN)


def find_key(given: str | None, variables: Sequence[str]) -> Key | None:
    """Return the key that was given, or else that of the first variable that is set.

    Raises:
        SettingsError: it cannot be a key.
    """
    found = [
        (given, "that was given"),
        *((os.environ.get(name), f"in {name}") for name in variables),
    ]
    for value, place in found:
        text = (value or "").strip()
        # HTTP libraries refuse these with errors that show them.
        if not text.isascii() or not text.isprintable():
            raise SettingsError(
                f"The key {place} has characters that no key has, such as a line break "
                "or an accent. Copy it anew."
            )
        if text:
            return Key(text=text, place=place)
    return None
