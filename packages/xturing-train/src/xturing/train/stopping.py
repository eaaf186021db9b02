"""Signals that ask a run to stop, heard at the end of a step."""

import signal
import threading
from types import FrameType
from typing import Any

ASKING = (signal.SIGINT, signal.SIGTERM)
FAILED_BY_SIGNAL = 128
"""What shells add a signal's number to."""


class StopRequest:
    """Notes the first signal that asks to stop; a second Ctrl-C stops at once.

    Python hands signals to its main thread alone, so in others nothing is noted.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.getsignal(each) for each in ASKING}
            self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}

    def listen(self) -> None:
        """Take the signals back from who has taken them since."""
        for each in self._before:
            signal.signal(each, self._note)

    def obey(self, sentence: str) -> None:
        """End the program or the cell, as the signal would have done.

        Raises:
            KeyboardInterrupt: it was SIGINT; with the sentence.
            SystemExit: it was SIGTERM; with 143.
        """
        if self.signal is signal.SIGINT:
            raise KeyboardInterrupt(sentence)
        if self.signal is not None:
            raise SystemExit(FAILED_BY_SIGNAL + self.signal)

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.signal is signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
