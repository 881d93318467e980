"""Polyphonic music as sequences of chords: 88 keys of a piano, held or not at each step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pyrovae.data.files import read_npz
from pyrovae.data.remote import find
from pyrovae.errors import DataError

__all__ = ["KEYS", "read_jsb", "read_music", "to_padded"]

KEYS = 88
PARTS = ("train", "valid", "test")


def read_jsb(root: str | Path | None) -> dict[str, dict[str, np.ndarray]]:
    """Bach's chorales: x (N, T, 88) of 0 and 1, zero from ``lengths`` (N,) on; T is 160 in all parts."""
    return read_polyphonic(find("Polyphonic", ("jsb-chorales.npz",), root))


def read_music(name: str) -> Callable[[str | Path | None], dict[str, dict[str, np.ndarray]]]:
    """A reader of another set of the four: as :func:`read_jsb`, T its longest sequence."""

    def read(root: str | Path | None) -> dict[str, dict[str, np.ndarray]]:
        return read_polyphonic(find("Polyphonic", (f"{name}.npz",), root))

    return read


def read_polyphonic(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """The parts of a file of ``train``, (sum of lengths, 11) bytes of 8 keys each, ``train_lengths``, and so on."""
    arrays = read_npz(path, map_members=False)
    wanted = [key for part in PARTS for key in (part, f"{part}_lengths")]
    if missing := [key for key in wanted if key not in arrays]:
        raise DataError(f"{path} lacks {missing[0]}; expected {', '.join(wanted)}: copy the file again.")
    longest = max(int(arrays[f"{part}_lengths"].max()) for part in PARTS)
    parts = {}
    for part in PARTS:
        packed, lengths = arrays[part], arrays[f"{part}_lengths"]
        expected = int(lengths.sum()), -(-KEYS // 8)
        if packed.dtype != np.uint8 or packed.shape != expected:
            raise DataError(
                f"{path} holds {part} {packed.dtype} {packed.shape}; expected uint8 {expected}, a row for each step: copy the "
                "file again."
            )
        x = to_padded(np.unpackbits(packed, axis=1, count=KEYS), lengths, longest)
        parts[part] = {"x": x, "lengths": lengths.astype(np.int64)}
    return parts


def to_padded(steps: np.ndarray, lengths: np.ndarray, longest: int) -> np.ndarray:
    """Sequences one after another, (sum of lengths, D), as rows (N, longest, D), zeros after each one's end.

    >>> to_padded(np.array([[1], [2], [3]]), np.array([1, 2]), 2)[..., 0].tolist()
    [[1, 0], [2, 3]]
    """
    x = np.zeros((len(lengths), longest, *steps.shape[1:]), steps.dtype)
    x[np.arange(longest) < lengths[:, None]] = steps
    return x
