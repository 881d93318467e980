"""White sprites on black, drawn by rule: dSprites and small sets like it."""

from __future__ import annotations

import numpy as np

from pyrovae.data.factors import Factors

__all__ = ["SPRITES", "Sprites"]

SCALES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SHAPES = ("square", "ellipse", "heart")
SQUARE_HALF_SIDE = 0.15  # of the canvas at scale 1, as all lengths here
ELLIPSE_HALF_AXES = (0.2, 0.1125)
HEART_RISE = 0.02  # of the point that the radii start from over the sprite's centre
# every 6 degrees from the cleft (straight up) to the tip (straight down), alike on both sides; fitted to published frames
# fmt: off
HEART_RADII = np.array([
    0.0620, 0.0826, 0.1068, 0.1201, 0.1355, 0.1456, 0.1528, 0.1602, 0.1610, 0.1626, 0.1631, 0.1610, 0.1582, 0.1523,
    0.1454, 0.1397, 0.1314, 0.1257, 0.1193, 0.1146, 0.1116, 0.1096, 0.1076, 0.1054, 0.1078, 0.1108, 0.1127, 0.1188,
    0.1266, 0.1406, 0.1610,
])
# fmt: on
FARTHEST = 0.2122  # from the centre to the square's corner
HEART_STEP = np.pi / (len(HEART_RADII) - 1)


class Sprites(Factors):
    """One sprite on a square canvas: pixel (r, c) is 1 iff its centre (c + 1/2, r + 1/2) lies inside the turned shape.

        centre = size/4 + reach size i/(P - 1) pixels to the right, and downwards; angle = 2 pi k/K counter-clockwise

    x is (B, size, size) of uint8. With the defaults it is dSprites (Matthey et al., 2017), whose 40 angles run to 2 pi itself:
    the first and the last are one image.

    Args:
        shapes: of square, ellipse, heart.
        orientations: K.
        positions: P in each direction.
        size: of the canvas, in pixels.
        duplicate_angle: let the angles run from 0 to 2 pi with both ends: K - 1 takes the place of K.
        reach: how much of the canvas the centre moves over, to the right and downwards; centred.

    >>> int(Sprites().images(np.array([[0, 5, 0, 0, 0]])).sum()), len(Sprites())
    (400, 737280)
    """

    def __init__(
        self,
        shapes: tuple[str, ...] = SHAPES,
        orientations: int = 40,
        positions: int = 32,
        size: int = 64,
        duplicate_angle: bool = True,
        reach: tuple[float, float] = (0.5, 0.5),
    ) -> None:
        self.shapes, self.size, self.reach = shapes, size, reach
        self.turn = 2 * np.pi / max(1, orientations - duplicate_angle)
        every = {"shape": len(shapes), "scale": len(SCALES), "orientation": orientations, "posX": positions, "posY": positions}
        self.places = {name: place for place, name in enumerate(n for n, size in every.items() if size > 1)}
        self.names = tuple(self.places)
        self.sizes = tuple(every[name] for name in self.names)
        self.nominal = ("shape",) if len(shapes) > 1 else ()

    def images(self, factors: np.ndarray) -> np.ndarray:
        """x, (B, size, size) of 0 and 1, at values of the factors, (B, F)."""
        zeros = np.zeros(len(factors), np.int64)
        value = {n: factors[:, self.places[n]] if n in self.places else zeros for n in ("shape", "scale", "orientation")}
        length = self.size * np.array(SCALES)[value["scale"]]
        angle = (self.turn * value["orientation"]).astype(np.float64)
        half = int(self.size * FARTHEST) + 1  # of the window of pixels about the centre that the shape may reach
        centre = [self._centre(factors, axis)[:, None] for axis in (0, 1)]
        columns, rows = (np.floor(each).astype(np.int64) + np.arange(-half, half + 1) for each in centre)
        right, down = columns + 0.5 - centre[0], rows + 0.5 - centre[1]
        cos, sin = (each[:, None] for each in (np.cos(angle), np.sin(angle)))
        # coordinates in the sprite's own frame, in units of its length: u to the right, v downwards
        unit = length[:, None]
        u = (right * cos / unit)[:, None, :] - (down * sin / unit)[:, :, None]
        v = (right * sin / unit)[:, None, :] + (down * cos / unit)[:, :, None]
        made = np.zeros((len(factors), self.size, self.size), np.uint8)
        for number, shape in enumerate(self.shapes):
            (each,) = np.nonzero(value["shape"] == number)
            places = each[:, None, None], rows[each][:, :, None], columns[each][:, None, :]
            made[places] = INSIDE[shape](u[each], v[each])
        return made

    def _centre(self, factors: np.ndarray, axis: int) -> np.ndarray:
        place = self.places[("posX", "posY")[axis]]
        share = factors[:, place] / (self.sizes[place] - 1)
        return self.size * (0.5 + self.reach[axis] * (share - 0.5))


def in_square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points lie in the square."""
    return np.maximum(np.abs(u), np.abs(v)) < SQUARE_HALF_SIDE


def in_ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points lie in the ellipse, whose long axis is horizontal."""
    return (u / ELLIPSE_HALF_AXES[0]) ** 2 + (v / ELLIPSE_HALF_AXES[1]) ** 2 < 1


def in_heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Whether points lie in the heart, whose radius is linear between the fitted ones."""
    v = v + HEART_RISE
    inside = np.zeros(u.shape, bool)
    square = u**2 + v**2
    near = square < HEART_RADII.max() ** 2
    phi = np.arctan2(np.abs(u[near]), -v[near]) / HEART_STEP
    before = np.minimum(phi.astype(np.int64), len(HEART_RADII) - 2)
    radius = HEART_RADII[before] + (phi - before) * np.diff(HEART_RADII)[before]
    inside[near] = square[near] < radius**2
    return inside


INSIDE = {"square": in_square, "ellipse": in_ellipse, "heart": in_heart}


def small(shapes: tuple[str, ...] = ("ellipse",), orientations: int = 1, reach: tuple[float, float] = (0.5, 0.5)) -> Sprites:
    """Sprites of 32 x 32 pixels at 16 x 16 places, no angle twice."""
    return Sprites(shapes, orientations, positions=16, size=32, duplicate_angle=False, reach=reach)


SPRITES = {
    "dsprites": Sprites(),
    "s32": small(SHAPES, orientations=20),
    "xys": small(),
    "xys-uneven": small(reach=(0.5, 6 / 32)),
}
