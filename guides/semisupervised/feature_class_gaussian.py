"""Gaussian features, a classifier of them, and a Gaussian posterior of the style for each class."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import loc_and_scale

__all__ = ["FeatureClassGaussian"]


class FeatureClassGaussian(nn.Module):
    """q(z1, y, z2 | x) = N(z1; x) Cat(y; softmax classifier(z1)) N(z2; z1, y), Gaussians diagonal, y enumerated.

    Sites: ``z1``, (e,); ``y``, one-hot, (C,); ``z2``, (d,).

    Args:
        features: x to (..., 2e), the means and the logarithms of the scales of z1.
        classifier: z1 to the logits of the classes, (..., C).
        encoder: z1 and y to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`, of z2.

    References: Kingma et al., Semi-supervised Learning with Deep Generative Models, 2014, Section 2 (stacked model).
    """

    def __init__(self, features: nn.Module, classifier: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.features, self.classifier, self.encoder = features, classifier, encoder

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, log_scale = self.features(x).chunk(2, -1)
        with pyro.plate("data", x.shape[0], dim=-1):
            z1 = pyro.sample("z1", dist.Normal(loc, log_scale.exp()).to_event(1))
            y = pyro.sample("y", dist.OneHotCategorical(logits=self.classifier(z1)), infer={"enumerate": "parallel"})
            loc, scale = loc_and_scale(self.encoder(z1, y))
            pyro.sample("z2", dist.Normal(loc, scale).to_event(1))
