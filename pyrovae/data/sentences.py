"""Named sets of sentences: captions, newspaper sentences, and windows of the characters of plays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pyrovae.data.columns import Text
from pyrovae.data.files import read_npz
from pyrovae.data.remote import find
from pyrovae.data.spec import END
from pyrovae.data.words import UNKNOWN
from pyrovae.errors import DataError

__all__ = ["SENTENCES", "WINDOW", "penn_words", "play_characters", "read_captions", "read_penn", "read_plays"]

Root = str | Path | None
PARTS = ("train", "valid", "test")
WINDOW = 60  # characters
PLAY_CUTS = (0.9, 0.95)  # of the text, where valid and test begin


def read_captions(root: Root) -> dict[str, dict[str, Any]]:
    """The English captions of Multi30k as lines, (N,), of three parts."""
    parts = {}
    for part in PARTS:
        path = find("Multi30k", (f"{part}.en.txt",), root)
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        parts[part] = {"x": Text(np.array(lines, dtype=object))}
    return parts


# ------------------------------------------------------------------------------------------------ newspapers
def read_penn(root: Root) -> dict[str, dict[str, np.ndarray]]:
    """Sentences of the Penn Treebank as numbers of 10,000 words, (N, 83), ended and filled by 0, and their ``lengths``."""
    path, arrays = _penn(root)
    order = _penn_order(path, arrays["vocabulary"])
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.arange(len(order))
    streams = {part: numbers[arrays[part]] for part in PARTS}
    lengths = {part: np.diff(np.flatnonzero(words == 0), prepend=-1) for part, words in streams.items()}
    steps = max(int(each.max()) for each in lengths.values())
    found = {}
    for part, words in streams.items():
        x = np.zeros((len(lengths[part]), steps), np.int64)
        x[np.arange(steps) < lengths[part][:, None]] = words[: int(lengths[part].sum())]
        found[part] = {"x": x, "lengths": lengths[part].astype(np.int64)}
    return found


def penn_words(root: Root) -> tuple[str, ...]:
    """The 10,000 words, <eos> and <unk> first."""
    path, arrays = _penn(root)
    return tuple(map(str, arrays["vocabulary"][_penn_order(path, arrays["vocabulary"])]))


def _penn(root: Root) -> tuple[Path, dict[str, np.ndarray]]:
    path = find("PennTreebank", ("ptb.npz",), root)
    arrays = read_npz(path, map_members=False)
    if missing := [key for key in (*PARTS, "vocabulary") if key not in arrays]:
        raise DataError(f"{path} lacks {missing[0]}; expected {', '.join(PARTS)} and vocabulary: copy the file again.")
    return path, arrays


def _penn_order(path: Path, words: np.ndarray) -> np.ndarray:
    """Where the words lie in the file, <eos> and <unk> first."""
    first = [np.flatnonzero(words == word) for word in (END, UNKNOWN)]
    if any(len(each) != 1 for each in first):
        raise DataError(f"{path} has a vocabulary without {END} or {UNKNOWN}; expected each once: copy the file again.")
    start = np.concatenate(first)
    return np.concatenate([start, np.setdiff1d(np.arange(len(words)), start)])


# ------------------------------------------------------------------------------------------------ plays
def read_plays(root: Root) -> dict[str, dict[str, np.ndarray]]:
    """Windows of 60 characters of Shakespeare's plays, (N, 60), one after another; the last tenth is valid and test.

    No window ends: word 0 is in none.
    """
    text = _plays(root)
    numbers = {character: number for number, character in enumerate(play_characters(root))}
    stream = np.array([numbers[character] for character in text], np.int64)
    cuts = [0, *(int(cut * len(stream)) for cut in PLAY_CUTS), len(stream)]
    found = {}
    for part, first, last in zip(PARTS, cuts, cuts[1:], strict=False):
        rows = (last - first) // WINDOW
        x = stream[first : first + rows * WINDOW].reshape(rows, WINDOW)
        found[part] = {"x": x, "lengths": np.full(rows, WINDOW)}
    return found


def play_characters(root: Root) -> tuple[str, ...]:
    """The characters, <eos> and <unk> first."""
    return (END, UNKNOWN, *sorted(set(_plays(root))))


def _plays(root: Root) -> str:
    return find("TinyShakespeare", ("input.txt",), root).read_text(encoding="utf-8")


SENTENCES: dict[str, dict[str, Any]] = {  # named sets
    "multi30k": {
        "about": "31,014 captions of pictures, (41,), of the 5,917 words that training has at least twice, with their lengths",
        "read": read_captions,
        "kinds": {"x": "tokens:5919"},
    },
    "penn-treebank": {
        "about": "49,199 sentences of newspapers, (83,), of 10,000 words, with their lengths",
        "read": read_penn,
        "kinds": {"x": "tokens:10000"},
        "words": penn_words,
    },
    "tiny-shakespeare": {
        "about": "18,588 windows of 60 characters of Shakespeare's plays, in their order",
        "read": read_plays,
        "kinds": {"x": "tokens:67"},
        "words": play_characters,
        "text": "characters",
    },
}
