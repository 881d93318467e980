"""Coloured rooms with an object in them, drawn by rule, with the factors of Shapes3D."""

from __future__ import annotations

import numpy as np

from pyrovae.data.factors import Factors

__all__ = ["Rooms"]

SIZE = 64
CENTRES = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)
NUM_HUES = 10
HORIZON = 40.0  # row at the middle of the picture
MOST_SLOPE = 0.25  # rows a column at the farthest azimuths
CORNER_REACH = 20.0  # columns that the corner of the walls moves to either side
FOOT = (32.0, 56.0)  # column and row on which the object stands
RADII = (6.0, 14.0)  # of the smallest and the largest object, in pixels
WALLS = (1.0, 0.75)  # light on the wall to the left and to the right of the corner
LEAST_LIGHT = 0.3


def hues(number: np.ndarray) -> np.ndarray:
    """Colours of full saturation on a circle of ten, (B, 3) in [0, 1].

    >>> hues(np.array([0, 5])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    """
    sixths = (6 * number[:, None] / NUM_HUES - np.array([0, 2, 4]) + 3) % 6 - 3  # from red, green and blue
    return np.clip(2 - np.abs(sixths), 0, 1)


class Rooms(Factors):
    """x is (B, 3, 64, 64) of uint8: a floor, two walls, and an object on the floor, lit from the side.

        horizon(column) = 40 + slope(azimuth) (column - 32);   corner = 32 + 20 (2 azimuth/14 - 1)

    No renderer is used: the factors are those of Shapes3D (Burgess and Kim, 2018), the pictures are not.

    >>> Rooms().images(np.zeros((1, 6), int)).shape, len(Rooms())
    ((1, 3, 64, 64), 480000)
    """

    names = ("floor", "wall", "object", "scale", "shape", "azimuth")
    sizes = (10, 10, 10, 8, 4, 15)
    nominal = ("shape",)

    def images(self, factors: np.ndarray) -> np.ndarray:
        """x, (B, 3, 64, 64) of uint8, at values of the factors, (B, 6)."""
        floor, wall, thing, scale, shape, azimuth = (each[:, None, None] for each in np.asarray(factors).T)
        turned = np.float32(2 / (self.sizes[5] - 1)) * azimuth.astype(np.float32) - np.float32(1)
        column, row = CENTRES[None, None, :], CENTRES[None, :, None]
        below = row > HORIZON + MOST_SLOPE * turned * (column - SIZE / 2)
        left = column < SIZE / 2 + CORNER_REACH * turned
        light = np.where(below, 1.0, np.where(left, *WALLS)).astype(np.float32)[:, None]
        on_floor, on_wall, on_thing = (
            hues(each[:, 0, 0]).astype(np.float32)[..., None, None] for each in (floor, wall, thing)
        )
        x = light * np.where(below[:, None], on_floor, on_wall)
        radius = RADII[0] + (RADII[1] - RADII[0]) * scale.astype(np.float32) / (self.sizes[3] - 1)
        inside, normal = silhouette(shape, (column - FOOT[0]) / radius, (FOOT[1] - row) / radius)
        # Lambert's term of a light that stands at the azimuth, on a surface that turns away to either side
        across = np.clip(normal, -1, 1)
        lit = across * np.sin(turned) + np.sqrt(1 - across**2) * np.cos(turned)
        lit = LEAST_LIGHT + (1 - LEAST_LIGHT) * np.clip(lit, 0, 1)
        x = np.where(inside[:, None], lit[:, None] * on_thing, x)
        return np.round(255 * x).astype(np.uint8)


def silhouette(shape: np.ndarray, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether points lie in the object, and how far its surface there faces to the right, in -1..1.

    Args:
        shape: box, cylinder, ball or capsule, 0..3.
        u: to the right of the foot, in radii.
        v: above it.
    """
    box = (np.abs(u) < 1) & (v > 0) & (v < 1.7)
    cylinder = (np.abs(u) < 0.75) & (v > 0.15 * (u**2 - 0.5)) & (v < 1.9 - 0.2 * u**2)
    ball = u**2 + (v - 1) ** 2 < 1
    capsule = np.hypot(u, v - np.clip(v, 0.5, 1.8)) < 0.5
    inside = np.choose(shape, [box, cylinder, ball, capsule])
    normal = np.choose(shape, [np.where(u < 0.2, -0.4, 0.8) + 0 * v, u / 0.75 + 0 * v, u + 0 * v, u / 0.5 + 0 * v])
    return inside, normal
