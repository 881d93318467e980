"""Codes of known disentanglement: factors on a grid, rotated, dead, doubled."""

from __future__ import annotations

import itertools

import numpy as np

from pyrovae.data import Sprites


def grid(*sizes):
    """All combinations of factors, (N, F)."""
    return np.array(list(itertools.product(*map(range, sizes))))


def perfect(factors):
    return (factors - factors.mean(0)) / factors.std(0)


def rotated(codes, left, right, degrees=45.0):
    """Two columns turned in their plane."""
    made, angle = codes.copy(), np.deg2rad(degrees)
    cos, sin = (0.5**0.5, 0.5**0.5) if degrees == 45 else (np.cos(angle), np.sin(angle))  # alike to the last digit
    made[:, left] = cos * codes[:, left] - sin * codes[:, right]
    made[:, right] = sin * codes[:, left] + cos * codes[:, right]
    return made


def sprites(num, seed=0):
    """Factors of dSprites, uniform; orientation is taken as it is, its last value beside its first."""
    return Sprites().draw(num, np.random.default_rng(seed))


def noise(num, dims, scale=1.0, seed=0):
    return scale * np.random.default_rng([seed, 7]).standard_normal((num, dims))
