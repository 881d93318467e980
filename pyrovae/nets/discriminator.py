"""A network that tells data from draws, whose hidden layers are features of what it sees."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from pyrovae.errors import OptionError
from pyrovae.nets.convolutional import _image
from pyrovae.nets.counts import as_float

__all__ = ["Discriminator"]


class Discriminator(nn.Module):
    """x, (..., *shape), to a logit, (...): 3x3 convolutions of stride 2, then dense layers, of leaky rectified units.

    Args:
        shape: of x; an image, (H, W) or (C, H, W), where there are convolutions.
        channels: of the convolutions.
        hidden: of the dense layers after them.
        layer: whose output is :meth:`features`, counted from 1 through the convolutions and on; 0 for x itself.

    >>> network = Discriminator((8, 8), [4], [10], layer=1)
    >>> network(torch.zeros(5, 3, 8, 8)).shape, network.features(torch.zeros(3, 8, 8)).shape
    (torch.Size([5, 3]), torch.Size([3, 64]))
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int], hidden: Sequence[int], layer: int) -> None:
        super().__init__()
        depth = len(channels) + len(hidden)
        if not 0 <= layer <= depth:
            raise OptionError(
                f"layer is {layer!r}; expected a whole number from 0, for x itself, to {depth}, the last hidden one."
            )
        in_channels, sizes = _image(shape, len(channels)) if channels else (math.prod(shape), [(1, 1)])
        self.event_dim, self.layer = len(shape), layer
        self.shape = (in_channels, *sizes[0]) if channels else (in_channels,)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise([in_channels, *channels]):
            layers.append(nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(0.2)))
        width = [in_channels, *channels][-1] * math.prod(sizes[-1])
        for before, after in itertools.pairwise([width, *hidden]):
            layers.append(nn.Sequential(nn.Flatten(), nn.Linear(before, after), nn.LeakyReLU(0.2)))
        self.layers = nn.ModuleList(layers)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear([width, *hidden][-1], 1))

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The features, (..., m), and the logit, (...), of one pass."""
        lead = x.shape[: x.dim() - self.event_dim]
        h = as_float(x).reshape(-1, *self.shape)
        features = h
        for number, layer in enumerate(self.layers, 1):
            h = layer(h)
            features = h if number == self.layer else features
        return features.flatten(1).unflatten(0, lead), self.head(h).squeeze(-1).unflatten(0, lead)

    def features(self, x: Tensor) -> Tensor:
        """The output of the layer, flattened, (..., m)."""
        return self.both(x)[0]

    def forward(self, x: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        return self.both(x)[1]
