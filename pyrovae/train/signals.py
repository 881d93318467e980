"""Ctrl-C and SIGTERM while a pair is trained."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["REASONS", "Signals"]

REASONS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Signals:
    """Remembers a first Ctrl-C (SIGINT) or SIGTERM, for the loop to end at its next step.

    Attributes:
        received: "interrupted" or "terminated", or None.
    """

    def __init__(self) -> None:
        self.received: str | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Within it signals are remembered, in the main thread; a second one ends the program at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        old = {number: signal.signal(number, self._receive) for number in REASONS}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: Any) -> None:
        if self.received is not None:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
        self.received = REASONS[signal.Signals(number)]
