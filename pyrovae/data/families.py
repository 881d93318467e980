"""Sets of numbers from one of four families of distributions, and sets of points of digits, drawn by rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyrovae.errors import DataError, OptionError

__all__ = ["FAMILIES", "read_families", "set_families", "spatial_digits"]

FAMILIES = ("exponential", "gaussian", "laplace", "uniform")
NUM_ROWS, SET_SIZE = (8000, 1000, 1000), 200
MEANS, VARIANCES = (-1.0, 1.0), (0.5, 2.0)
CHUNK_ROWS = 5000


def set_families(num: int, size: int = SET_SIZE, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sets of independent numbers, (num, size, 1) float32, and which family each is of, (num,), as often each.

        x_i = m + s e_i,   m uniform on [-1, 1], s^2 on [0.5, 2], e of the family with mean 0 and variance 1

    References: Edwards and Storkey, Towards a Neural Statistician, 2017, Section 5.1 (the task).

    >>> x, family = set_families(5, size=3)
    >>> x.shape, family.tolist()
    ((5, 3, 1), [0, 1, 2, 3, 0])
    """
    if min(num, size) < 1:
        raise OptionError(f"num is {num} and size {size}; expected whole numbers of at least 1.")
    rng, family = np.random.default_rng(seed), np.arange(num) % len(FAMILIES)
    draws = [
        rng.exponential(size=(num, size)) - 1,
        rng.normal(size=(num, size)),
        rng.laplace(size=(num, size)) / np.sqrt(2),
        rng.uniform(-np.sqrt(3), np.sqrt(3), (num, size)),
    ]
    standard = np.stack(draws)[family, np.arange(num)]
    mean, variance = rng.uniform(*MEANS, (num, 1)), rng.uniform(*VARIANCES, (num, 1))
    return (mean + np.sqrt(variance) * standard)[..., None].astype(np.float32), family


def read_families(root: str | Path | None = None) -> dict[str, dict[str, np.ndarray]]:
    """8,000 sets of 200 to train, 1,000 to validate and 1,000 to test, each part of a seed of its own, y the family."""
    parts = {}
    for seed, (part, rows) in enumerate(zip(("train", "valid", "test"), NUM_ROWS, strict=True)):
        x, family = set_families(rows, seed=seed)
        parts[part] = {"x": x, "y": np.array(FAMILIES)[family]}
    return parts


def spatial_digits(images: np.ndarray, size: int = 50, seed: int = 0) -> np.ndarray:
    """Images as sets of points, (num, size, 2) float32 in [-1, 1]^2: right, and up.

    Each point lies uniformly within a pixel, and the pixel is drawn in proportion to its brightness, so that the density of
    the points is the image itself.

    Args:
        images: (num, H, W), of values from 0 up, none all 0.
        size: n, points of a set.
        seed: of the draws.

    References: Edwards and Storkey, Towards a Neural Statistician, 2017, Section 5.2.

    >>> spatial_digits(np.eye(4)[None], size=3).shape
    (1, 3, 2)
    """
    images = np.asarray(images)
    if images.ndim != 3 or images.size == 0 or images.min() < 0 or not images.reshape(len(images), -1).any(1).all():
        raise DataError(f"images came as {images.shape}; expected (num, H, W) of values from 0 up, none of them all 0.")
    if size < 1:
        raise OptionError(f"size is {size}; expected a whole number of at least 1.")
    rng, (height, width), parts = np.random.default_rng(seed), images.shape[1:], []
    for start in range(0, len(images), CHUNK_ROWS):
        total = images[start : start + CHUNK_ROWS].reshape(-1, height * width).astype(np.float64).cumsum(1)
        rows = len(total)
        steps = (total / total[:, -1:] + np.arange(rows)[:, None]).ravel()  # one rising line of all images
        found = np.searchsorted(steps, (rng.random((rows, size)) + np.arange(rows)[:, None]).ravel(), side="right")
        row, column = np.divmod(found.reshape(rows, size) % (height * width), width)
        right = (column + rng.random((rows, size))) * 2 / width - 1
        up = 1 - (row + rng.random((rows, size))) * 2 / height
        parts.append(np.stack([right, up], -1).astype(np.float32))
    return np.concatenate(parts)
