"""Sequences of chords as standard MIDI files, which any player reads."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from pyrovae.errors import DataError
from pyrovae.files import write_whole

__all__ = ["LOWEST", "midi_bytes", "write_midi"]

LOWEST = 21  # the lowest key of a piano, A0
TICKS = 480  # of a quarter note
VELOCITY = 80
MICROSECONDS = 60_000_000  # of a minute


def write_midi(
    path: str | os.PathLike[str], x: ArrayLike, steps_per_quarter: float = 2.0, tempo: float = 100.0, lowest: int = LOWEST
) -> Path:
    """Write a sequence of chords, (T, D), as a MIDI file, whole or not at all; see :func:`midi_bytes`."""
    path = Path(path)
    write_whole(path, midi_bytes(x, steps_per_quarter, tempo, lowest))
    return path


def midi_bytes(x: ArrayLike, steps_per_quarter: float = 2.0, tempo: float = 100.0, lowest: int = LOWEST) -> bytes:
    """A standard MIDI file (format 0, one track) of chords, (T, D) of 0 and 1: a key that stays down sounds once, as one note.

    Args:
        x: D keys at T steps, held (1) or not (0).
        steps_per_quarter: steps in a quarter note.
        tempo: quarter notes a minute.
        lowest: MIDI number of the first key; 21 is the lowest of a piano.

    Raises:
        DataError: values that are not 0 or 1, or keys beyond MIDI's 128.

    >>> midi_bytes([[1, 0], [1, 1], [0, 0]])[:4]
    b'MThd'
    """
    keys = np.asarray(x)
    if keys.ndim != 2 or not np.isin(keys, (0, 1)).all():
        raise DataError(f"x has shape {keys.shape}; expected (T, D) of 0 and 1, a draw of keys that are held or not.")
    if not 0 <= lowest <= 128 - keys.shape[1]:
        raise DataError(f"lowest is {lowest} for {keys.shape[1]} keys; MIDI has the keys 0 to 127.")
    if not 0 < steps_per_quarter <= TICKS or not 4 <= tempo <= 1000:
        raise DataError(f"steps_per_quarter is {steps_per_quarter}, tempo {tempo}; expected 1 to {TICKS}, and 4 to 1000.")
    changes = np.diff(keys.astype(np.int8), axis=0, prepend=0, append=0)
    events, last = [_tempo(tempo)], 0
    for t, change in enumerate(changes):
        now = round(t * TICKS / steps_per_quarter)
        for status, velocity, wanted in ((0x80, 0, -1), (0x90, VELOCITY, 1)):
            for key in np.flatnonzero(change == wanted):
                events.append(_quantity(now - last) + bytes([status, lowest + int(key), velocity]))
                last = now
    end = round(len(keys) * TICKS / steps_per_quarter)
    track = b"".join(events) + _quantity(end - last) + b"\xff\x2f\x00"
    head = b"MThd" + _whole(6, 4) + _whole(0, 2) + _whole(1, 2) + _whole(TICKS, 2)
    return head + b"MTrk" + _whole(len(track), 4) + track


def _tempo(tempo: float) -> bytes:
    return b"\x00\xff\x51\x03" + _whole(round(MICROSECONDS / tempo), 3)


def _whole(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def _quantity(value: int) -> bytes:
    """A number of MIDI's variable length: seven bits a byte, all but the last marked."""
    found = [value & 0x7F]
    while value := value >> 7:
        found.append(0x80 | (value & 0x7F))
    return bytes(found[::-1])
