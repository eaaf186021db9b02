"""Finding the texts before which an answer ends, while it is being written."""

from collections.abc import Iterable


class StopTexts:
    """Lets a text through, part by part, up to the earliest stop text in it.

    What may be the beginning of a stop text is held back until that is known. How the
    text is divided does not matter. Finds in time linear in the text (Knuth, Morris
    and Pratt 1977).
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stops)
        self._borders = [_borders(stop) for stop in self._stops]
        self._matched = [0] * len(self._stops)
        """For each stop text, how much of its beginning the text ends with."""
        self._held = ""
        self._found: tuple[int, str] | None = None
        """The earliest stop text so far, and where it begins in what is held."""
        self.met: str | None = None
        """The stop text that was met; nothing is let through any more."""

    def read(self, text: str) -> str:
        """Return what can be let through with another part of the text."""
        if not self._stops:
            return text
        if self.met is not None:
            return ""
        known = len(self._held)
        self._held += text
        begun = known - max(self._matched, default=0)
        for end, character in enumerate(text, known + 1):
            begun = self._advance(character, end)
            # One that began earlier and is not complete yet would come before it.
            if self._found is not None and begun >= self._found[0]:
                return self._meet(*self._found)
        return self._let(begun)

    def end(self) -> str:
        """Return what was held back, now that no more text comes."""
        if self.met is not None:
            return ""
        return self._meet(*self._found) if self._found else self._let(len(self._held))

    def _advance(self, character: str, end: int) -> int:
        """Read one character, and return where the longest beginning of a stop is."""
        for index, stop in enumerate(self._stops):
            borders, matched = self._borders[index], self._matched[index]
            while matched and stop[matched] != character:
                matched = borders[matched - 1]
            matched += stop[matched] == character
            if matched == len(stop):
                found = (end - matched, stop)
                if self._found is None or found[0] < self._found[0]:
                    self._found = found
                matched = borders[matched - 1]
            self._matched[index] = matched
        return end - max(self._matched, default=0)

    def _meet(self, start: int, stop: str) -> str:
        self.met = stop
        text, self._held = self._held[:start], ""
        return text

    def _let(self, length: int) -> str:
        if self._found is not None:
            start, stop = self._found
            self._found = (start - length, stop)
        text, self._held = self._held[:length], self._held[length:]
        return text


def _borders(text: str) -> list[int]:
    """Return for each beginning of a text how long its longest border is.

    A border is a beginning that is its end as well, and not the whole.
    """
    borders, length = [0], 0
    for character in text[1:]:
        while length and text[length] != character:
            length = borders[length - 1]
        length += text[length] == character
        borders.append(length)
    return borders
