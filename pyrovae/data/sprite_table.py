"""A table of pictures, a style a row and a time a column, of which a part is missing, drawn by rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyrovae.errors import OptionError

__all__ = ["read_sprite_table", "sprite_factors", "sprite_pictures"]

NUM_STYLES, NUM_TIMES, SIZE = 200, 200, 16
MISSING, HELD = 0.3, 0.05  # of the entries: those that nobody has seen, and those to validate by
RADII, GREYS, STRETCHES = (2.0, 4.0), (0.4, 1.0), (0.6, 1.6)
MIDDLE, REACH, EDGE = 8.0, 3.5, 4.0


def sprite_factors(styles: int = NUM_STYLES, times: int = NUM_TIMES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What makes the pictures: radius, brightness and stretch of each style, (R, 3); right and down at each time, (T, 2).

    Styles are drawn uniformly; in time the picture goes along a Lissajous curve.

    >>> [factors.shape for factors in sprite_factors(4, 5)]
    [(4, 3), (5, 2)]
    """
    if min(styles, times) < 1:
        raise OptionError(f"styles is {styles} and times {times}; expected whole numbers of at least 1.")
    low, high = np.array([RADII, GREYS, STRETCHES]).T
    style = np.random.default_rng(seed).uniform(low, high, (styles, 3))
    angle = 2 * np.pi * np.arange(times) / times
    return style, MIDDLE + REACH * np.stack([np.cos(3 * angle), np.sin(2 * angle)], -1)


def sprite_pictures(style: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Pictures of a bright ellipse with a soft edge, (B, 16, 16) uint8, of styles (B, 3) at times (B, 2).

    >>> sprite_pictures(*(factors[:1] for factors in sprite_factors())).shape
    (1, 16, 16)
    """
    at = np.arange(SIZE) + 0.5
    radius, grey, stretch = style[:, :, None, None].swapaxes(0, 1)
    right, down = time[:, :, None, None].swapaxes(0, 1)
    across = ((at[None, None, :] - right) / (radius * stretch)) ** 2 + ((at[None, :, None] - down) * stretch / radius) ** 2
    inside = 1 / (1 + np.exp(-np.clip(EDGE * (1 - across), -50, 50)))
    pictures: np.ndarray = np.round(255 * grey * inside).astype(np.uint8)
    return pictures


def read_sprite_table(root: str | Path | None = None) -> dict[str, dict[str, np.ndarray]]:
    """The 40,000 entries of 200 styles and 200 times: 65% to train, 5% to validate, the 30% that are missing to test."""
    style, time = sprite_factors()
    entries = np.random.default_rng(1).permutation(NUM_STYLES * NUM_TIMES)
    missing, held, seen = np.split(entries, np.cumsum([int(MISSING * len(entries)), int(HELD * len(entries))]))
    parts = {}
    for part, chosen in (("train", seen), ("valid", held), ("test", missing)):
        row, column = np.divmod(chosen, NUM_TIMES)
        parts[part] = {"x": sprite_pictures(style[row], time[column]), "row": row, "column": column}
    return parts
