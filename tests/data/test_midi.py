"""MIDI files of chords, read back byte by byte by a reader of another make."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyrovae.data.midi import midi_bytes, write_midi
from pyrovae.errors import DataError


def read(content):
    """Ticks of a quarter, microseconds of a quarter, and notes (key, start, end) in ticks, of a file of one track."""
    assert content[:8] == b"MThd\x00\x00\x00\x06" and content[8:12] == b"\x00\x00\x00\x01"
    ticks, size = int.from_bytes(content[12:14]), int.from_bytes(content[18:22])
    assert content[14:18] == b"MTrk" and len(content) == 22 + size
    place, now, tempo, sounding, notes = 22, 0, None, {}, []
    while True:
        delta = 0
        while True:
            byte, place = content[place], place + 1
            delta = delta << 7 | byte & 0x7F
            if byte < 0x80:
                break
        now += delta
        if content[place] == 0xFF:
            kind, length = content[place + 1], content[place + 2]
            body, place = content[place + 3 : place + 3 + length], place + 3 + length
            if kind == 0x2F:
                assert place == len(content) and not sounding
                return ticks, tempo, sorted(notes), now
            tempo = int.from_bytes(body)
            continue
        status, key, velocity = content[place : place + 3]
        place += 3
        if status == 0x90:
            assert velocity and key not in sounding
            sounding[key] = now
        else:
            assert status == 0x80
            notes.append((key, sounding.pop(key), now))


def roll_of(notes, steps, dims, step, lowest=21):
    x = np.zeros((steps, dims), int)
    for key, start, end in notes:
        x[start // step : end // step, key - lowest] += 1
    return x


def test_what_is_written_is_what_is_read_back_whatever_the_length(tmp_path):
    x = np.random.default_rng(0).random((300, 88)) < 0.1
    x[20:220, 40], x[[19, 220], 40] = True, False  # a note of more ticks than one byte, or two, hold
    path = write_midi(tmp_path / "x.mid", x)
    ticks, tempo, notes, end = read(path.read_bytes())
    assert ticks == 480 and tempo == 600_000 and end == 300 * 240
    assert np.array_equal(roll_of(notes, 300, 88, 240), x.astype(int))  # each key at most once at a time
    assert (61, 20 * 240, 220 * 240) in notes


def test_a_key_that_stays_down_sounds_once():
    _, _, notes, end = read(midi_bytes(torch.tensor([[0, 1], [0, 1], [1, 0], [0, 1]]), steps_per_quarter=4, lowest=60))
    assert notes == [(60, 240, 360), (61, 0, 240), (61, 360, 480)] and end == 480
    assert read(midi_bytes(np.zeros((3, 88))))[2] == []


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.full((2, 88), 0.5), {}, r"expected \(T, D\) of 0 and 1"),
        (np.zeros(3), {}, r"x has shape \(3,\)"),
        (np.zeros((2, 88)), {"lowest": 60}, "MIDI has the keys 0 to 127"),
        (np.zeros((2, 88)), {"tempo": float("nan")}, "steps_per_quarter is 2.0, tempo nan"),
        (np.zeros((2, 88)), {"steps_per_quarter": 0}, "steps_per_quarter is 0"),
    ],
)
def test_what_is_no_music_is_refused(x, options, message):
    with pytest.raises(DataError, match=message):
        midi_bytes(x, **options)
