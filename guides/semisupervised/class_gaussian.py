"""A classifier, and a Gaussian posterior for each class."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import loc_and_scale

__all__ = ["ClassGaussian"]


class ClassGaussian(nn.Module):
    """q(y, z | x) = Cat(y; softmax classifier(x)) N(z; loc(x, y), diag scale(x, y)^2), y enumerated.

    Sites: ``y``, one-hot, (C,); ``z``, (d,).

    Args:
        classifier: x to the logits of the classes, (..., C).
        encoder: x and y to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Eq. (4).
    """

    def __init__(self, classifier: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.classifier, self.encoder = classifier, encoder

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        logits = self.classifier(x)
        with pyro.plate("data", x.shape[0], dim=-1):
            y = pyro.sample("y", dist.OneHotCategorical(logits=logits), infer={"enumerate": "parallel"})
            loc, scale = loc_and_scale(self.encoder(x, y))
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))
