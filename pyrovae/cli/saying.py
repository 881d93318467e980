"""What the commands say on standard output: sentences, with --json one object in their place, with --quiet nothing."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

__all__ = ["Shown", "say", "show_as", "shows_progress"]

_FORM = ["text"]  # or "json", or "quiet": of the command at hand


def show_as(form: str) -> None:
    """Say "text", "json" or, "quiet", nothing from now on; the package's log then keeps to its warnings."""
    _FORM[0] = form
    if form != "text":
        logging.getLogger("pyrovae").setLevel(logging.WARNING)


def shows_progress() -> bool:
    """Whether a person looks on."""
    return _FORM[0] == "text"


def say(text: object, end: str = "\n", result: Any = None) -> None:
    """Print a sentence, or where JSON is asked for the result that it tells of, if it does.

    Where the reader has gone, as in ``pyrovae train ... | head -1``, the command goes on and says no more.
    """
    if _FORM[0] == "quiet" or (_FORM[0] == "json" and result is None):
        return
    if _FORM[0] == "json":
        text, end = json.dumps(result, indent=1, default=str), "\n"
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Shown(Exception):
    """Help, or a configuration, was asked for, and is printed."""
