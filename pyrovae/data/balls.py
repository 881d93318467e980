"""Films of a bouncing ball, by rule: it moves at constant velocity and is reflected by the walls."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyrovae.errors import OptionError

__all__ = ["ball_centres", "bouncing_balls", "read_balls"]

NUM_ROWS, NUM_STEPS, SIZE, RADIUS = (2000, 250, 250), 20, 16, 2.5
SLOWEST, FASTEST = 0.7, 1.7  # pixels a step


def ball_centres(num: int, num_steps: int, size: int, radius: float, seed: int) -> np.ndarray:
    """The centres of num balls at each step, (num, T, 2), in pixels from 0 to ``size``, and within ``radius`` of no wall.

    c_t = fold(c_1 + (t - 1) v),   fold the zigzag between the walls,   |v| uniform from 0.7 to 1.7 pixels a step
    """
    if min(num, num_steps, size) < 1 or not 0 < radius < size / 2:
        raise OptionError(
            f"num is {num}, num_steps {num_steps}, size {size}, radius {radius}; expected whole numbers of at least 1, and a "
            "radius of less than half the size."
        )
    rng = np.random.default_rng(seed)
    room = size - 2 * radius
    start, angle = rng.uniform(0, room, (num, 1, 2)), rng.uniform(0, 2 * np.pi, (num, 1, 1))
    velocity = rng.uniform(SLOWEST, FASTEST, (num, 1, 1)) * np.concatenate([np.cos(angle), np.sin(angle)], -1)
    free = (start + np.arange(num_steps)[:, None] * velocity) % (2 * room)
    centres: np.ndarray = radius + np.minimum(free, 2 * room - free)
    return centres


def bouncing_balls(
    num: int, num_steps: int = NUM_STEPS, size: int = SIZE, radius: float = RADIUS, seed: int = 0
) -> np.ndarray:
    """Films of a ball each, (num, T, size, size) uint8: 1 where a pixel's centre is within ``radius`` of the ball's.

    >>> bouncing_balls(2, num_steps=3).shape
    (2, 3, 16, 16)
    """
    centres = ball_centres(num, num_steps, size, radius, seed)
    places = (np.arange(size) + 0.5 - centres[..., None]) ** 2  # (num, T, 2, size)
    films: np.ndarray = (places[:, :, 1, :, None] + places[:, :, 0, None, :] <= radius**2).astype(np.uint8)
    return films


def read_balls(root: str | Path | None = None) -> dict[str, dict[str, np.ndarray]]:
    """2,000 films to train, 250 to validate and 250 to test, each part of a seed of its own."""
    parts = zip(("train", "valid", "test"), NUM_ROWS, strict=True)
    return {part: {"x": bouncing_balls(rows, seed=seed)} for seed, (part, rows) in enumerate(parts)}
