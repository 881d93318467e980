"""Corrupted inputs of a data set, for denoising autoencoders."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pyrovae.data.dataset import Data
from pyrovae.data.split import Split, Uniform
from pyrovae.data.transforms import each_part, enter
from pyrovae.errors import DataError, OptionError, nearest

__all__ = ["CORRUPTIONS", "corrupt"]


@dataclass(frozen=True)
class _Corruption:
    """``x_corrupted`` = c ~ p(c | x), each value by itself; x stays."""

    process: str
    rate: float
    scale: float
    keys: tuple[str, ...] = ("x_corrupted",)

    def __call__(self, batch: dict[str, Tensor], uniform: Uniform) -> dict[str, Tensor]:
        x = batch["x"].to(torch.float32)
        u = uniform(tuple(x.shape[1:]))
        if self.process == "gaussian":
            corrupted = x + self.scale * torch.special.ndtri(u.clamp(1e-7, 1 - 1e-7))
        elif self.process == "masking":
            corrupted = x * (u >= self.rate)
        else:  # below rate / 2 pepper, up to rate salt
            corrupted = torch.where(u < self.rate, (u >= self.rate / 2).to(x.dtype), x)
        return {**batch, "x_corrupted": corrupted}


CORRUPTIONS = ("gaussian", "masking", "salt-and-pepper")


@enter("corrupt")
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

    return each_part(data, change, ["x_corrupted"])
