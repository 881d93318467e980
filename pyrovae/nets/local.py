"""A map between images in which each pixel depends on those about it alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pyrovae.nets.mlp import ACTIVATIONS, _glorot

__all__ = ["LocalMap"]

KERNEL = 5


class LocalMap(nn.Module):
    """Image y, (..., *before), to (..., 1, *after): resized bilinearly, then 5x5 convolutions that keep the size.

    Args:
        before: shape of y, (H, W) or (C, H, W).
        after: shape of the output.
        channels: of the convolutions between.
        activation: of them.
        identity: start as the identity (of the resized image), to which the convolutions add what they learn; for shapes of
            the same channels.

    >>> LocalMap((4, 4), (6, 6), [3])(torch.zeros(5, 2, 4, 4)).shape
    torch.Size([5, 2, 1, 6, 6])
    """

    def __init__(
        self,
        before: Sequence[int],
        after: Sequence[int],
        channels: Sequence[int],
        activation: str = "relu",
        identity: bool = False,
    ) -> None:
        super().__init__()
        self.before, self.after, self.identity = tuple(before), tuple(after), identity
        widths = [before[0] if len(before) == 3 else 1, *channels]
        layers: list[nn.Module] = []
        for one, other in itertools.pairwise(widths):
            layers += [nn.Conv2d(one, other, KERNEL, padding=KERNEL // 2), ACTIVATIONS[activation]()]
        layers.append(nn.Conv2d(widths[-1], after[0] if len(after) == 3 else 1, KERNEL, padding=KERNEL // 2))
        self.layers = _glorot(nn.Sequential(*layers))
        if identity:
            with torch.no_grad():
                layers[-1].weight.zero_()  # type: ignore[operator,union-attr]

    @torch.no_grad()
    def start_at(self, h: Tensor) -> None:
        """Give outputs around the mean of h, (1, *after), until trained; a map that starts at the identity stays there."""
        if not self.identity:
            self.layers[-1].bias.copy_(h.reshape(len(self.layers[-1].bias), -1).mean(1))

    def forward(self, y: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        lead = y.shape[: y.dim() - len(self.before)]
        images = y.reshape(-1, self.before[0] if len(self.before) == 3 else 1, *self.before[-2:])
        if self.before[-2:] != self.after[-2:]:
            images = interpolate(images, size=self.after[-2:], mode="bilinear", align_corners=False)
        mapped = self.layers(images)
        return (images + mapped if self.identity else mapped).reshape(*lead, 1, *self.after)
