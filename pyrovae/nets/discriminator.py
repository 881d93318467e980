"""Networks that tell data apart, whose hidden layers are features of what they see."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.errors import OptionError
from pyrovae.nets.convolutional import _image
from pyrovae.nets.counts import as_float

__all__ = ["Classifier", "Discriminator"]


class Layered(nn.Module):
    """x, (..., *shape), to (..., out): 3x3 convolutions of stride 2, then dense layers, of leaky rectified units.

    Args:
        shape: of x; an image, (H, W) or (C, H, W), where there are convolutions.
        channels: of the convolutions.
        hidden: of the dense layers after them.
        out_features: out.
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int], hidden: Sequence[int], out_features: int) -> None:
        super().__init__()
        in_channels, sizes = _image(shape, len(channels)) if channels else (math.prod(shape), [(1, 1)])
        self.event_dim = len(shape)
        self.shape = (in_channels, *sizes[0]) if channels else (in_channels,)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise([in_channels, *channels]):
            layers.append(nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(0.2)))
        width = [in_channels, *channels][-1] * math.prod(sizes[-1])
        for before, after in itertools.pairwise([width, *hidden]):
            layers.append(nn.Sequential(nn.Flatten(), nn.Linear(before, after), nn.LeakyReLU(0.2)))
        self.layers = nn.ModuleList(layers)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear([width, *hidden][-1], out_features))
        self.widths = [c * h * w for c, (h, w) in zip(channels, sizes[1:], strict=bool(channels))] + list(hidden)

    def run(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """x itself and what each layer gives of it, flattened, (..., m) each; and the output, (..., out)."""
        lead = x.shape[: x.dim() - self.event_dim]
        h = as_float(x).reshape(-1, *self.shape)
        found = [h]
        for layer in self.layers:
            found.append(layer(found[-1]))
        return [each.flatten(1).unflatten(0, lead) for each in found], self.head(found[-1]).unflatten(0, lead)


class Discriminator(Layered):
    """x, (..., *shape), to a logit, (...), and the features that one of its layers has of x.

    Args:
        shape: of x; an image, (H, W) or (C, H, W), where there are convolutions.
        channels: of 3x3 convolutions of stride 2, of leaky rectified units.
        hidden: of the dense layers after them.
        layer: whose output is :meth:`features`, counted from 1 through the convolutions and on; 0 for x itself.

    >>> import torch
    >>> network = Discriminator((8, 8), [4], [10], layer=1)
    >>> network(torch.zeros(5, 3, 8, 8)).shape, network.features(torch.zeros(3, 8, 8)).shape
    (torch.Size([5, 3]), torch.Size([3, 64]))
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int], hidden: Sequence[int], layer: int) -> None:
        super().__init__(shape, channels, hidden, 1)
        if not 0 <= layer <= len(self.layers):
            raise OptionError(f"layer is {layer!r}; expected 0, for x itself, to {len(self.layers)}, the last hidden layer.")
        self.layer = layer

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The features, (..., m), and the logit, (...), of one pass."""
        layers, logit = self.run(x)
        return layers[self.layer], logit.squeeze(-1)

    def features(self, x: Tensor) -> Tensor:
        """The output of the layer, flattened, (..., m)."""
        return self.both(x)[0]

    def forward(self, x: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        return self.both(x)[1]


class Classifier(Layered):
    """Images x, (..., *shape), to logits of their classes, (..., C), and the features that its convolutions have of them.

    :meth:`program` is p(y | x), a model without latents, by which it is trained.

    Args:
        shape: of x, (H, W) or (C, H, W).
        channels: of 3x3 convolutions of stride 2, of leaky rectified units.
        hidden: of the dense layers after them.
        num_classes: C.

    Attributes:
        feature_dims: how many features each convolution has.

    >>> import torch
    >>> network = Classifier((8, 8), [4, 6], [10], 3)
    >>> network(torch.zeros(5, 8, 8)).shape, [h.shape[-1] for h in network.features(torch.zeros(5, 8, 8))]
    (torch.Size([5, 3]), [64, 24])
    """

    def __init__(self, shape: Sequence[int], channels: Sequence[int], hidden: Sequence[int], num_classes: int) -> None:
        super().__init__(shape, channels, hidden, num_classes)
        self.feature_dims = self.widths[: len(channels)]

    def features(self, x: Tensor) -> list[Tensor]:
        """What each convolution gives of x, flattened, (..., m) each."""
        return self.run(x)[0][1 : len(self.feature_dims) + 1]

    def forward(self, x: Tensor) -> Tensor:
        """The output of the module, of the shape that its class states."""
        return self.run(x)[1]

    def program(self, x: Tensor, y: Tensor) -> None:
        """The model p(y | x) on a batch of B data, y (B,) of classes, -1 where it is unknown."""
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("y", dist.Categorical(logits=self(x)).mask(y >= 0), obs=y.clamp_min(0))
