"""What the commands say on standard output, whose reader may have gone."""

from __future__ import annotations

import os
import sys

__all__ = ["Shown", "say"]


def say(text: object, end: str = "\n") -> None:
    """Print; where the reader has gone, as in ``pyrovae train ... | head -1``, the command goes on and says no more."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Shown(Exception):
    """Help, or a configuration, was asked for, and is printed."""
