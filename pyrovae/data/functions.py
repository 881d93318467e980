"""Functions as sets of pairs of an input and a value: draws of a Gaussian process, and images as functions of the place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyrovae.data.dataset import Data
from pyrovae.data.spec import KeySpec
from pyrovae.data.split import Uniform
from pyrovae.data.transforms import append, each_part, enter, require_images
from pyrovae.errors import DataError, OptionError

__all__ = ["context", "gp_functions", "pixels", "rbf", "read_functions"]

NUM_ROWS, NUM_POINTS = (8000, 1000, 1000), 64
REACH, LENGTH_SCALE, NOISE = 2.0, 0.5, 0.1  # inputs lie in [-2, 2]
CHUNK_ROWS = 1000
CONDITION, GIVEN, CONTEXT = "condition", "given", "c"


def rbf(inputs: np.ndarray, others: np.ndarray, length_scale: float = LENGTH_SCALE) -> np.ndarray:
    """Covariances exp(-|u - v|^2 / 2 l^2) of values at inputs u, (..., n, d), and v, (..., m, d): (..., n, m).

    >>> rbf(np.zeros((1, 1)), np.array([[0.0], [0.5]])).round(3)
    array([[1.   , 0.607]])
    """
    squares = ((inputs[..., :, None, :] - others[..., None, :, :]) ** 2).sum(-1)
    covariance: np.ndarray = np.exp(-0.5 * squares / length_scale**2)
    return covariance


def gp_functions(num: int, size: int = NUM_POINTS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws of a Gaussian process at inputs of their own: inputs and values, (num, size, 1) float32 each.

        u_i uniform on [-2, 2],   x ~ N(0, K + 0.1^2 I),   K_ij = exp(-(u_i - u_j)^2 / 2 0.5^2)

    >>> gp_functions(2, size=3)[1].shape
    (2, 3, 1)
    """
    if min(num, size) < 1:
        raise OptionError(f"num is {num} and size {size}; expected whole numbers of at least 1.")
    rng = np.random.default_rng(seed)
    inputs, normal = rng.uniform(-REACH, REACH, (num, size, 1)), rng.normal(size=(num, size, 1))
    values = np.empty_like(normal)
    for start in range(0, num, CHUNK_ROWS):
        some = slice(start, start + CHUNK_ROWS)
        covariance = rbf(inputs[some], inputs[some]) + NOISE**2 * np.eye(size)
        values[some] = np.linalg.cholesky(covariance) @ normal[some]
    return inputs.astype(np.float32), values.astype(np.float32)


def read_functions(root: str | Path | None = None) -> dict[str, dict[str, np.ndarray]]:
    """8,000 functions to train, 1,000 to validate and 1,000 to test, each part of a seed of its own."""
    parts = {}
    for seed, (part, rows) in enumerate(zip(("train", "valid", "test"), NUM_ROWS, strict=True)):
        inputs, values = gp_functions(rows, seed=seed)
        parts[part] = {"x": values, CONDITION: inputs}
    return parts


@dataclass(frozen=True)
class _Pixels:
    """An image as its pixels, one after another, beside the places of their centres."""

    places: Tensor
    keys: tuple[str, ...] = (CONDITION,)

    def __repr__(self) -> str:
        return "_Pixels()"

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x = batch["x"]
        pixels = x.reshape(len(x), -1, len(self.places)).transpose(1, 2)
        return {**batch, "x": pixels, CONDITION: self.places.to(x.device).expand(len(x), -1, -1)}


@enter("pixels")
def pixels(data: Data) -> Data:
    """An image as a function of the place: x (B, H W, C) its pixels, and ``condition`` (B, H W, 2) where each of them is.

    Places are the pixels' centres in [-1, 1]^2, right and up. Pixels are a set: their order tells nothing.

    Args:
        data: images, (H, W) or (C, H, W).

    References: Garnelo et al., Conditional Neural Processes, 2018, Section 4.2.

    >>> from pyrovae.data import load
    >>> batch = next(pixels(load("digits")).train.batches(5))
    >>> tuple(batch["x"].shape), tuple(batch["condition"].shape)
    ((5, 64, 1), (5, 64, 2))
    """
    require_images(data)
    spec = data.spec
    *channels, height, width = spec.shape
    right, up = (np.arange(width) + 0.5) * 2 / width - 1, 1 - (np.arange(height) + 0.5) * 2 / height
    places = torch.tensor(np.stack(np.meshgrid(right, up), -1).reshape(-1, 2), dtype=torch.float32)
    change = _Pixels(places)
    shape = (height * width, channels[0] if channels else 1)
    x = replace(spec.keys["x"], shape=shape, is_set=True)
    where = KeySpec((len(places), 2), "real", is_set=True)
    mean = None if spec.mean is None else spec.mean.reshape(-1, len(places)).T
    spec = replace(spec.with_keys({"x": x, CONDITION: where}), mean=mean)
    made = each_part(data, lambda part, _: part.with_(transforms=(*part.transforms, change)))
    parts = {name: part and part.with_(spec=spec) for name, part in made.parts().items()}
    return replace(made, spec=spec, **parts)


@dataclass(frozen=True)
class _Context:
    """Which points of a set are given: so many, chosen at random, of all or of those that there are."""

    least: int
    most: int
    keys: tuple[str, ...] = (CONTEXT, GIVEN)

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x, lengths = batch["x"], batch.get("lengths")
        u, count = uniform((x.shape[1],)), uniform(())
        if lengths is not None:
            u = u + (torch.arange(x.shape[1], device=x.device) >= lengths.unsqueeze(1))
        number = self.least + (count * (self.most - self.least + 1)).long()
        if lengths is not None:
            number = torch.minimum(number, lengths.long())
        given = u.argsort(1).argsort(1) < number.unsqueeze(1)
        shown = given.reshape(*given.shape, *[1] * (x.dim() - 2)).expand_as(x).to(torch.float32)
        return {**batch, CONTEXT: x.to(torch.float32) * shown, GIVEN: shown}


@enter("context")
def context(data: Data, *, least: int = 1, most: int = 10) -> Data:
    """A context of each set: ``given`` is 1 of ``least`` to ``most`` of its n points, and ``c`` is x there; 0 elsewhere.

    Both are (B, n, *shape), as of the conditions of images (:func:`quadrants`).

    How many and which is drawn anew in each epoch, uniformly; outside of training it is a function of the row. What is given
    is known and not scored: log p(x) is that of the other points.

    Args:
        data: sets x (n, *shape), and their inputs ``condition`` where x is a function.
        least: of the points given.
        most: of them, fewer than n.

    References: Garnelo et al., Conditional Neural Processes, 2018, Section 2.

    >>> from pyrovae.data import load
    >>> next(context(load("gp-functions"), least=3, most=3).train.batches(2))["given"].sum(1).flatten().tolist()
    [3.0, 3.0]
    """
    known = data.spec.keys.get("x")
    if known is None or not known.is_set:
        raise DataError(
            f"{data.spec.name} is no set of points, of which some could be given; take gp-functions, or transform the data "
            "before, as in transforms=['pixels', 'context'], or 'shuffle'."
        )
    size = known.shape[0]
    if not 1 <= least <= most < size:
        raise OptionError(f"least is {least} and most {most}; expected 1 <= least <= most < {size}, the points of a set.")
    return append(data, _Context(least, most))
