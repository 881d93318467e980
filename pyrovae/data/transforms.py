"""Changes of a data set: few labels, missing pixels, conditions, corruption; each seeded, recorded in ``source``, replayed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from pyrovae.data.dataset import Data
from pyrovae.data.labelled import LabelledSplit, choose_labels
from pyrovae.data.seeds import MASKS, generator
from pyrovae.data.spec import KeySpec
from pyrovae.data.split import RowTransform, Split, Uniform
from pyrovae.data.store import Arrays
from pyrovae.errors import DataError, OptionError, nearest
from pyrovae.registry import Registry

__all__ = ["TRANSFORMS", "corrupt", "few_labels", "holes", "low_resolution", "missing", "quadrants", "transform"]

TRANSFORMS: Registry[Callable[..., Data]] = Registry("transform", given=1)


def transform(data: Data, chosen: str | Mapping[str, Any]) -> Data:
    """The data changed by a named transform: ``"few-labels:num_labels=100,seed=1"``, or a mapping with ``name``."""
    return TRANSFORMS.build(chosen, data)


def _enter(name: str) -> Callable[[Callable[..., Data]], Callable[..., Data]]:
    """Enter a transform into the table; it writes itself into the data's source."""

    def decorate(change: Callable[..., Data]) -> Callable[..., Data]:
        @functools.wraps(change)
        def apply(data: Data, **options: Any) -> Data:
            for part in (data.train, data.valid, data.test):
                if not isinstance(part, (Split, type(None))):
                    raise DataError(f"{name} needs numbered rows, not a DataLoader: pass its Dataset, or do it there.")
            source = data.source
            if source is not None:
                source = {**source, "transforms": [*source.get("transforms", []), {"name": name, **options}]}
            return replace(change(data, **options), source=source)

        TRANSFORMS[name] = apply
        return apply

    return decorate


def _each(data: Data, change: Callable[[Split, int], Split], covariates: Sequence[str] = ()) -> Data:
    """The data with each part changed, and new covariates of x's shape."""
    spec = data.spec.with_keys(dict.fromkeys(covariates, KeySpec(data.spec.shape, "real")))
    parts: dict[str, Any] = {"train": data.train, "valid": data.valid, "test": data.test}
    made = {name: part and change(part, number).with_(spec=spec) for number, (name, part) in enumerate(parts.items())}
    return replace(data, spec=spec, **made)


def _append(data: Data, row_transform: RowTransform) -> Data:
    return _each(data, lambda part, _: part.with_(transforms=(*part.transforms, row_transform)), row_transform.keys)


def _image(data: Data) -> None:
    if len(data.spec.shape) not in (2, 3):
        raise DataError(f"{data.spec.name}: x has shape {data.spec.shape}; expected images, (H, W) or (C, H, W).")


# ------------------------------------------------------------------------------------------------ labels
@_enter("few-labels")
def few_labels(data: Data, *, num_labels: int | None = None, share: float = 0.1, seed: int = 0) -> Data:
    """Training data with y = -1 but in ``num_labels`` rows, as many of each class; valid and test keep their labels.

    So a semi-supervised bound of valid data is one on log p(x, y), that of training data for the most part on log p(x).

    Every training batch has the same number of labelled rows, and they come first in it: an epoch has each unlabelled row
    at least once, and the labelled ones as often as needed (:class:`~pyrovae.data.labelled.LabelledSplit`).

    Args:
        data: with labels y.
        num_labels: how many labels stay, a multiple of the number of classes; None keeps those that are there.
        share: of a batch, the rows that are labelled, at least one.
        seed: of the choice.

    >>> from pyrovae.data import load
    >>> int((few_labels(load("digits"), num_labels=50).train["y"] >= 0).sum())
    50
    """
    if not 0 < share < 1:
        raise OptionError(f"share is {share!r}; expected a number between 0 and 1, the labelled part of a batch.")
    train = data.train
    if "y" not in train.keys:
        raise DataError(f"{data.spec.name} has no labels y; few-labels needs some.")
    if num_labels is not None:
        if not isinstance(train.store, Arrays):
            raise DataError(f"{data.spec.name}: labels of a Dataset cannot be hidden here; let it give y = -1 itself.")
        labels = choose_labels(train["y"], num_labels, data.spec.classes or 0, seed)
        train = train.with_(store=replace(train.store, columns={**train.store.columns, "y": labels}))
    return replace(data, train=LabelledSplit.of(train, share))


# ------------------------------------------------------------------------------------------------ missing values
@dataclass(frozen=True)
class _Blank:
    """x = 0 where ``mask`` is 0."""

    keys: tuple[str, ...] = ("mask",)

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        mask = batch["mask"].to(torch.float32)
        return {**batch, "mask": mask, "x": batch["x"] * mask}


@_enter("missing")
def missing(data: Data, *, rate: float = 0.5, parts: str = "all", seed: int = 0) -> Data:
    """Values of x missing completely at random, once and for all: ``mask``, (B, *shape), is 1 where x is.

    A recipe makes of such data a pair of the observed part of x, log p(x_observed) (:func:`~pyrovae.observed_part`).

    Args:
        data: any.
        rate: probability that a value is missing.
        parts: "all", or "train" for complete valid and test data (their mask is 1).
        seed: of the masks.
    """
    if not 0 <= rate < 1 or parts not in ("all", "train"):
        raise OptionError(f"rate is {rate!r}, parts {parts!r}; expected a rate from 0 up to 1, and 'all' or 'train'.")

    def blank(part: Split, number: int) -> Split:
        if not isinstance(part.store, Arrays):
            raise DataError(f"{data.spec.name}: values of a Dataset cannot be hidden here; let it give x and mask itself.")
        chance = rate if parts == "all" or number == 0 else 0.0
        noise = torch.rand(len(part), *data.spec.shape, generator=generator(seed, MASKS, number))
        columns = {**part.store.columns, "mask": (noise >= chance).to(torch.uint8).to(part.device)}
        return part.with_(store=replace(part.store, columns=columns), transforms=(*part.transforms, _Blank()))

    changed = _each(data, blank, ["mask"])
    spec = replace(changed.spec, roles={**changed.spec.roles, "missing": "mask"})
    parts = {name: part and part.with_(spec=spec) for name, part in changed._parts().items()}  # type: ignore[union-attr]
    return replace(changed, spec=spec, **parts)


# ------------------------------------------------------------------------------------------------ conditions
@dataclass(frozen=True)
class _Quadrants:
    """c = x in the lower left, the left half, or all but the lower right; 0 elsewhere."""

    number: int
    keys: tuple[str, ...] = ("c", "given")

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x = batch["x"]
        height, width = x.shape[-2:]
        given = torch.zeros_like(x)
        given[..., height // 2 :, : width // 2] = 1
        if self.number > 1:
            given[..., : height // 2, : width // 2 if self.number == 2 else width] = 1
        return {**batch, "c": x * given, "given": given}


@_enter("quadrants")
def quadrants(data: Data, *, given: int = 1) -> Data:
    """A condition for CVAEs: ``c``, (B, *shape), is x in 1, 2 or 3 quadrants and 0 elsewhere; ``given`` is 1 there.

    One is the lower left, two are the left half, three all but the lower right, as in Pyro's tutorial.

    Args:
        data: images.
        given: how many quadrants.

    References: Sohn, Lee and Yan, Learning Structured Output Representation using Deep Conditional Generative Models, 2015.
    """
    _image(data)
    if given not in (1, 2, 3):
        raise OptionError(f"given is {given!r}; expected 1, 2 or 3 quadrants.")
    return _append(data, _Quadrants(given))


@dataclass(frozen=True)
class _Hole:
    """c = x but for a rectangle at a random place, where it is 0."""

    size: float
    keys: tuple[str, ...] = ("c", "given")

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x, place = batch["x"], uniform((2,))
        inside = [self._inside(x.shape[axis], place[:, axis]) for axis in (-2, -1)]
        hole = inside[0].unsqueeze(-1) & inside[1].unsqueeze(-2)
        given = (~hole).reshape(len(x), *[1] * (x.dim() - 3), *x.shape[-2:]).to(x.dtype).expand_as(x)
        return {**batch, "c": x * given, "given": given}

    def _inside(self, side: int, place: Tensor) -> Tensor:
        """Which of the rows, or columns, lie in the hole, (B, side)."""
        length = max(1, round(self.size * side))
        start = (place * (side - length + 1)).floor().unsqueeze(1)
        at = torch.arange(side, device=place.device)
        return (at >= start) & (at < start + length)


@_enter("holes")
def holes(data: Data, *, size: float = 0.5) -> Data:
    """A condition for CVAEs: x but for a rectangle, ``size`` of its height and width, at a random place in each row.

    In training the place is drawn anew in each epoch; otherwise it is a function of the row.

    Args:
        data: images.
        size: of the hole, as a part of the sides.
    """
    _image(data)
    if not 0 < size < 1:
        raise OptionError(f"size is {size!r}; expected a number between 0 and 1.")
    return _append(data, _Hole(size))


@dataclass(frozen=True)
class _LowResolution:
    """c = the means of x over squares of ``factor`` pixels, shown at x's size; nothing of x itself is given."""

    factor: int
    keys: tuple[str, ...] = ("c", "given")

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x = batch["x"]
        images = x if x.dim() == 4 else x.unsqueeze(1)
        coarse = avg_pool2d(images, self.factor, ceil_mode=True, count_include_pad=False)
        c = interpolate(coarse, scale_factor=float(self.factor), mode="nearest")[..., : x.shape[-2], : x.shape[-1]]
        return {**batch, "c": c.reshape(x.shape), "given": torch.zeros_like(x)}


@_enter("low-resolution")
def low_resolution(data: Data, *, factor: int = 4) -> Data:
    """A condition for CVAEs: ``c`` is x averaged over squares of ``factor`` pixels, for super-resolution; ``given`` is 0.

    Args:
        data: images.
        factor: side of the squares.
    """
    _image(data)
    if not isinstance(factor, int) or factor < 2:
        raise OptionError(f"factor is {factor!r}; expected a whole number of at least 2.")
    return _append(data, _LowResolution(factor))


# ------------------------------------------------------------------------------------------------ corruption
@dataclass(frozen=True)
class _Corruption:
    """``x_corrupted`` = c ~ p(c | x), each value by itself; x stays."""

    process: str
    rate: float
    scale: float
    keys: tuple[str, ...] = ("x_corrupted",)

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x = batch["x"]
        u = uniform(tuple(x.shape[1:]))
        if self.process == "gaussian":
            corrupted = x + self.scale * torch.special.ndtri(u.clamp(1e-7, 1 - 1e-7))
        elif self.process == "masking":
            corrupted = x * (u >= self.rate)
        else:  # below rate / 2 pepper, up to rate salt
            corrupted = torch.where(u < self.rate, (u >= self.rate / 2).to(x.dtype), x)
        return {**batch, "x_corrupted": corrupted}


CORRUPTIONS = ("gaussian", "masking", "salt-and-pepper")


@_enter("corrupt")
def corrupt(data: Data, *, process: str = "masking", rate: float = 0.25, scale: float = 0.5, parts: str = "train") -> Data:
    """A corrupted input for denoising autoencoders: ``x_corrupted`` is x with noise, new each epoch; x stays as it is.

        gaussian:         c_i = x_i + scale e_i, e_i ~ N(0, 1)
        masking:          c_i = 0 with probability rate, else x_i
        salt-and-pepper:  c_i = 0 or 1 with probability rate / 2 each, else x_i

    The guide of a denoising pair reads ``x_corrupted``, its model scores x. Outside of training epochs the noise is a function
    of the row, so that bounds and pictures repeat.

    Args:
        data: any; in [0, 1] for salt-and-pepper.
        process: gaussian, masking or salt-and-pepper.
        rate: probability that a value is corrupted (not of gaussian).
        scale: of gaussian noise.
        parts: "train", so that guides see the clean x of valid and test data, or "all", to see what they make of noise.

    References: Vincent et al., Stacked Denoising Autoencoders, 2010, Section 3.3.

    >>> from pyrovae.data import load
    >>> batch = next(corrupt(load("digits"), process="masking", rate=0.5).train.epoch(100, seed=0, epoch=0))
    >>> bool(batch["x_corrupted"].mean() < 0.6 * batch["x"].mean())
    True
    """
    if process not in CORRUPTIONS:
        raise nearest("corruption process", process, CORRUPTIONS)
    if not 0 <= rate <= 1 or not scale >= 0 or parts not in ("all", "train"):
        raise OptionError(
            f"rate is {rate!r}, scale {scale!r}, parts {parts!r}; expected a rate from 0 to 1, a scale of at least 0, and "
            "'all' or 'train'."
        )
    if process == "salt-and-pepper" and data.spec.kind == "real":
        raise DataError(f"{data.spec.name}: salt-and-pepper sets values to 0 or 1, and these are real numbers; use gaussian.")

    def change(part: Split, number: int) -> Split:
        clean = parts == "train" and number > 0
        noise = _Corruption("masking", 0.0, 0.0) if clean else _Corruption(process, rate, scale)
        return part.with_(transforms=(*part.transforms, noise))

    return _each(data, change, ["x_corrupted"])
