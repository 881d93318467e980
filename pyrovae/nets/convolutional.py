"""Convolutional networks of images of any size; leading axes pass through unchanged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pyrovae.errors import OptionError
from pyrovae.nets.counts import as_float
from pyrovae.nets.mlp import ACTIVATIONS, MLP, _glorot

__all__ = ["ConvDecoder", "ConvEncoder", "GridDecoder", "GridEncoder"]


def _image(shape: Sequence[int], num_layers: int) -> tuple[int, list[tuple[int, int]]]:
    """Channels, and the (H, W) before, between and after layers of stride 2."""
    if len(shape) not in (2, 3):
        raise OptionError(f"convolutional networks need images, (H, W) or (C, H, W); the data's shape is {tuple(shape)}.")
    channels = shape[0] if len(shape) == 3 else 1
    sizes = [(int(shape[-2]), int(shape[-1]))]
    for _ in range(num_layers):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return channels, sizes


def _upwards(widths: Sequence[int], sizes: Sequence[tuple[int, int]], activation: str) -> list[nn.Module]:
    """Transposed 3x3 convolutions of stride 2 between these channels, from the last of the (H, W) to the first."""
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(itertools.pairwise(widths)):
        (height, width), target = sizes[-1 - i], sizes[-2 - i]
        extra = (target[0] - (2 * height - 1), target[1] - (2 * width - 1))
        layers += [
            nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=extra),
            ACTIVATIONS[activation](),
        ]
    return layers[:-1]


class ConvEncoder(nn.Module):
    """Image x, (..., H, W) or (..., C, H, W), to features, (..., out): 3x3 convolutions of stride 2, then one dense layer."""

    def __init__(
        self, shape: Sequence[int], channels: Sequence[int], hidden: int, out_features: int, activation: str = "relu"
    ) -> None:
        super().__init__()
        in_channels, sizes = _image(shape, len(channels))
        self.shape = (in_channels, *sizes[0])
        self.event_dim = len(shape)
        widths = [in_channels, *channels]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), ACTIVATIONS[activation]()]
        features = widths[-1] * sizes[-1][0] * sizes[-1][1]
        dense = MLP(features, [hidden], out_features, activation)
        self.layers = _glorot(nn.Sequential(*layers, nn.Flatten(), dense))

    def forward(self, x: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        lead = x.shape[: x.dim() - self.event_dim]
        return self.layers(as_float(x).reshape(-1, *self.shape)).unflatten(0, lead)


class ConvDecoder(nn.Module):
    """z, (..., d), to the parameters of a likelihood, (..., P, *shape): the mirror of :class:`ConvEncoder`, for any size."""

    def __init__(
        self,
        latent_dim: int,
        channels: Sequence[int],
        hidden: int,
        shape: Sequence[int],
        num_params: int = 1,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        out_channels, sizes = _image(shape, len(channels))
        self.shape = (num_params, *shape)
        widths = [*reversed(channels), num_params * out_channels]
        start = (widths[0], *sizes[-1])
        layers: list[nn.Module] = [
            MLP(latent_dim, [hidden], math.prod(start), activation),
            ACTIVATIONS[activation](),
            nn.Unflatten(1, start),
        ]
        self.layers = _glorot(nn.Sequential(*layers, *_upwards(widths, sizes, activation)))

    @torch.no_grad()
    def start_at(self, h: Tensor) -> None:
        """Give outputs around the means over pixels of h, (P, *shape), whatever z, until trained."""
        self.layers[-1].bias.copy_(h.reshape(len(self.layers[-1].bias), -1).mean(1))

    def forward(self, z: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        lead = z.shape[:-1]
        return self.layers(z.reshape(-1, z.shape[-1])).reshape(*lead, *self.shape)


class GridEncoder(nn.Module):
    """Image x, (..., H, W) or (..., C, H, W), to D numbers at each place of a smaller image, (..., P D), row by row.

    3x3 convolutions of stride 2, and a linear map at each place: P = (H / 2^L) (W / 2^L), rounded up, for L layers.

    Args:
        shape: of x.
        channels: of the L convolutions.
        code_dim: D.
        activation: of the convolutions.

    Attributes:
        grid: the (H, W) of the smaller image.

    >>> GridEncoder((8, 8), [4], 3)(torch.zeros(5, 8, 8)).shape
    torch.Size([5, 48])
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int], code_dim: int, activation: str = "relu") -> None:
        super().__init__()
        in_channels, sizes = _image(shape, len(channels))
        self.shape, self.event_dim, self.grid = (in_channels, *sizes[0]), len(shape), sizes[-1]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise([in_channels, *channels]):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), ACTIVATIONS[activation]()]
        self.layers = _glorot(nn.Sequential(*layers, nn.Conv2d([in_channels, *channels][-1], code_dim, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        lead = x.shape[: x.dim() - self.event_dim]
        h: Tensor = self.layers(as_float(x).reshape(-1, *self.shape))
        return h.flatten(2).transpose(1, 2).flatten(1).unflatten(0, lead)


class GridDecoder(nn.Module):
    """D numbers at each of P places, (..., P D), to the parameters of a likelihood: the mirror of :class:`GridEncoder`."""

    def __init__(
        self, code_dim: int, channels: Sequence[int], shape: Sequence[int], num_params: int = 1, activation: str = "relu"
    ) -> None:
        super().__init__()
        out_channels, sizes = _image(shape, len(channels))
        self.shape, self.grid, self.code_dim = (num_params, *shape), sizes[-1], code_dim
        widths = [*reversed(channels), num_params * out_channels]
        first = [nn.Conv2d(code_dim, widths[0], 3, padding=1), ACTIVATIONS[activation]()]
        self.layers = _glorot(nn.Sequential(*first, *_upwards(widths, sizes, activation)))

    start_at = ConvDecoder.start_at

    def forward(self, z: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        lead = z.shape[:-1]
        places = z.reshape(-1, math.prod(self.grid), self.code_dim).transpose(1, 2).unflatten(2, self.grid)
        return self.layers(places).reshape(*lead, *self.shape)
