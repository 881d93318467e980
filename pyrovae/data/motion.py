"""Images that are turned, resized and shifted by rule, with what was done to each as keys beside x."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pyrovae.data.dataset import Data
from pyrovae.data.spec import KeySpec
from pyrovae.data.split import Split, Uniform
from pyrovae.data.transforms import enter, require_images
from pyrovae.errors import OptionError
from pyrovae.nets.warp import affine_flow, warp

__all__ = ["affine"]

KINDS = ("binary", "levels", "unit", "real")
MEAN_ROWS = 1000


@dataclass(frozen=True)
class _Affine:
    """x'(u) = x(M (u - t)), M = exp(-s) R(angle), u from the middle of the image."""

    rotation: float
    scale: float
    shift: float
    source: bool
    kind: str
    levels: int
    own: tuple[str, ...] = ("angle", "size", "shift")

    @property
    def keys(self) -> tuple[str, ...]:
        return (*self.own, *(["source"] if self.source else []))

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x, u = batch["x"], 2 * uniform((4,)) - 1
        angle, size, shift = self.rotation * u[:, 0], self.scale * u[:, 1], self.shift * u[:, 2:]
        moved = self.moved(x.to(torch.float32), angle, size, shift).to(x.dtype)
        told = {"angle": angle, "size": size, "shift": shift}
        return {**batch, "x": moved, **told, **({"source": x} if self.source else {})}

    def moved(self, x: Tensor, angle: Tensor, size: Tensor, shift: Tensor) -> Tensor:
        """The images after their maps, as the kind of data has them."""
        height, width = x.shape[-2:]
        turn, unit = torch.deg2rad(angle), max(max(height, width) - 1, 1) / 2
        rotation = torch.stack([turn.cos(), turn.sin(), -turn.sin(), turn.cos()], -1).unflatten(-1, (2, 2))
        rotation = rotation * (-size).exp()[:, None, None]
        matrix = torch.cat([rotation, -rotation @ (shift / unit).unsqueeze(-1)], -1)
        flow = affine_flow(matrix, height, width)
        image = warp(x, flow.reshape(len(x), *[1] * (x.dim() - 3), *flow.shape[1:]))
        if self.kind == "binary":
            return (image >= 0.5).to(x.dtype)
        return (image * (self.levels - 1)).round() / (self.levels - 1) if self.kind == "levels" else image


@enter("affine")
def affine(data: Data, *, rotation: float = 20.0, scale: float = 0.1, shift: float = 1.0, source: bool = False) -> Data:
    """Each image turned, resized and shifted by what is drawn for it, with keys ``angle``, ``size`` and ``shift``.

        x'(u) = x(M (u - t)),  M = exp(-s) R(angle),  u from the middle of the image
        angle ~ U(-rotation, rotation),  s ~ U(-scale, scale),  each of t ~ U(-shift, shift)

    Read between pixels; beyond the edge the edge goes on. Binary images are cut at one half again, levels are rounded.
    In training the maps are drawn anew in each epoch; otherwise they are a function of the row.

    Args:
        data: images.
        rotation: the most, in degrees.
        scale: the most of s, the logarithm of the size.
        shift: the most to either side, in pixels.
        source: whether the image as it was is in the batch, too, as key ``source``.

    References: Detlefsen and Hauberg, Explicit Disentanglement of Appearance and Perspective in Generative Models, 2019
    (such MNIST).

    >>> from pyrovae.data import load
    >>> batch = next(affine(load("digits", binarization="none"), shift=2).train.batches(5))
    >>> tuple(batch["x"].shape), tuple(batch["angle"].shape), bool(batch["shift"].abs().max() <= 2)
    ((5, 8, 8), (5,), True)
    """
    require_images(data)
    for name, value in (("rotation", rotation), ("scale", scale), ("shift", shift)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
            raise OptionError(f"{name} is {value!r}; expected a number of at least 0.")
    if not (rotation or scale or shift):
        raise OptionError("rotation, scale and shift are 0, so no image would move; give one of them more.")
    known = data.spec.keys["x"]
    if known.kind not in KINDS:
        raise OptionError(f"x of {data.spec.name} is of kind {known.kind}; expected images of kind {', '.join(KINDS)}.")
    change = _Affine(float(rotation), float(scale), float(shift), bool(source), known.kind, known.size or 256)
    more = {"angle": KeySpec((), "real"), "size": KeySpec((), "real"), "shift": KeySpec((2,), "real")}
    spec = data.spec.with_keys({**more, **({"source": known} if source else {})})
    parts: dict[str, Split | None] = {}
    for name, part in data.parts().items():
        assert isinstance(part, Split | None)
        parts[name] = part and part.with_(transforms=(*part.transforms, change), spec=spec)
    train = parts["train"]
    assert train is not None
    if spec.mean is not None:
        rows = torch.linspace(0, len(train) - 1, min(len(train), MEAN_ROWS)).long()
        spec = replace(spec, mean=train[rows]["x"].to(torch.float32).mean(0))
    return replace(data, spec=spec, **{name: part and part.with_(spec=spec) for name, part in parts.items()})
