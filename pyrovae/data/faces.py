"""Faces drawn by rule that smile and blink: every expression is a warp of the neutral face, known exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrovae.data.columns import tensor
from pyrovae.data.factors import Drawn, Factors

__all__ = ["Faces"]

SIZE = 32
MIDDLE = 15.5
NEUTRAL = (4, 3)  # numbers of the mouth and the eyes of a neutral face
MOUTH_ROW, EYE_ROW, EYE_COLUMN = 22.0, 12.0, 5.5
MOST_BEND = 3.0  # pixels that the corners of the mouth rise at the widest smile
OPENNESS = np.linspace(-0.7, 0.35, 5)  # log of the height of an eye's opening beside the neutral one


class Faces(Factors):
    """x is (B, 32, 32) of uint8: a face of one's own width, tone, mouth and gaze, with a mouth that bends and eyes that open.

        x(u) = N(u + f(u)),  f along the rows alone:
        mouth:  f = a (v^2 / w^2 - 1/2) exp(-(r - 22)^2 / 18) exp(-v^4 / 9^4),  a = 3 (mouth - 4) / 4
        eyes:   f = (exp(-o) - 1) (r - 12) exp(-(r - 12)^2 / 18) exp(-(|v| - 5.5)^2 / 18)

    r is the row, v the column from the middle, w half the width of the mouth, o the logarithm of how open the eyes are beside
    those of the neutral face. N, the neutral face, is a function of real places, so that the flow f (:meth:`flow`) is exact
    and nothing is read between pixels.

    >>> Faces().images(np.zeros((1, 6), int)).shape, len(Faces())
    ((1, 32, 32), 5760)
    """

    names = ("mouth", "eyes", "width", "tone", "lips", "gaze")
    sizes = (9, 5, 4, 4, 4, 2)

    def flow(self, factors: np.ndarray) -> np.ndarray:
        """f, (B, 2, 32, 32), in pixels, first of the row: where the neutral face is read, less the place itself."""
        mouth, eyes, _, _, lips, _ = (each[:, None, None].astype(np.float64) for each in np.asarray(factors).T)
        row, v = np.arange(SIZE, dtype=np.float64)[:, None], np.arange(SIZE, dtype=np.float64) - MIDDLE
        bend = MOST_BEND * (mouth - NEUTRAL[0]) / 4
        at_mouth = np.exp(-((row - MOUTH_ROW) ** 2) / 18 - v**4 / 9**4)
        f = bend * (v**2 / half_width(lips) ** 2 - 0.5) * at_mouth
        stretch = np.exp(-(OPENNESS[eyes.astype(int)] - OPENNESS[NEUTRAL[1]])) - 1
        f = f + stretch * (row - EYE_ROW) * np.exp(-((row - EYE_ROW) ** 2 + (np.abs(v) - EYE_COLUMN) ** 2) / 18)
        return np.stack([f, np.zeros_like(f)], 1)

    def images(self, factors: np.ndarray) -> np.ndarray:
        """x, (B, 32, 32) of uint8, at values of the factors, (B, 6)."""
        factors = np.asarray(factors)
        down, right = self.flow(factors).transpose(1, 0, 2, 3)
        row, v = np.arange(SIZE)[:, None] + down, np.arange(SIZE) - MIDDLE + right
        return np.round(255 * self.neutral(factors[:, 2:], row, v)).astype(np.uint8)

    def neutral(self, looks: np.ndarray, row: np.ndarray, v: np.ndarray) -> np.ndarray:
        """N in [0, 1] at rows and columns from the middle, (B, 32, 32), of width, tone, lips and gaze, (B, 4)."""
        width, tone, lips, gaze = (each[:, None, None].astype(np.float64) for each in looks.T)
        face = inside(1 - np.hypot((row - 16) / 14.5, v / (9 + width)), 8)
        skin = 0.55 + 0.11 * tone
        mouth = inside(1 - np.abs(v) / half_width(lips), 6) * np.exp(-((row - MOUTH_ROW) ** 2) / 1.6)
        across = np.abs(v) - EYE_COLUMN
        white = inside(1 - np.hypot((row - EYE_ROW) / 2.6, across / 3.2), 4)
        pupil = np.exp(-((row - EYE_ROW) ** 2 + (v - np.sign(v) * EYE_COLUMN - (gaze - 0.5) * 1.6) ** 2) / 1.5)
        x = face * skin * (1 - 0.75 * mouth)
        return x * (1 - white) + white * face * (0.95 - 0.9 * pupil)

    def columns(self, packed: bool = False) -> dict[str, Any]:
        """All rows as keys: x, ``source``, which is the same face with a neutral expression, and each factor, (N,)."""
        own = super().columns(packed)
        return {"x": own.pop("x"), "source": NeutralFaces(source=self), **own}


class NeutralFaces(Drawn):
    """Of each row the face without its expression."""

    def _values(self, rows: np.ndarray) -> Any:
        factors = self.source.factors(rows)
        factors[:, :2] = NEUTRAL
        return tensor(self.source.images(factors))


def half_width(lips: np.ndarray) -> np.ndarray:
    """Of a mouth, in pixels."""
    return 4.5 + lips


def inside(depth: np.ndarray, sharpness: float) -> np.ndarray:
    """1 where the depth is positive, 0 where it is negative, smooth between."""
    return 1 / (1 + np.exp(-np.clip(sharpness * depth, -30, 30)))
