"""An auxiliary latent, a classifier that sees it, and a Gaussian posterior for each class."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import loc_and_scale

__all__ = ["AuxiliaryClassGaussian"]


class AuxiliaryClassGaussian(nn.Module):
    """q(a, y, z | x) = N(a; x) Cat(y; softmax classifier(x, a)) N(z; x, a, y), Gaussians diagonal, y enumerated.

    Sites: ``a``, (e,); ``y``, one-hot, (C,); ``z``, (d,).

    Args:
        auxiliary: x to (..., 2e), for :func:`~pyrovae.nets.loc_and_scale`, of a.
        classifier: x and a to the logits of the classes, (..., C).
        encoder: x, a and y to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`, of z.

    References: Maaloe et al., Auxiliary Deep Generative Models, 2016.
    """

    def __init__(self, auxiliary: nn.Module, classifier: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        self.auxiliary, self.classifier, self.encoder = auxiliary, classifier, encoder

    def forward(self, x: Tensor) -> None:
        """Run the guide, q, on a batch of B data."""
        loc, scale = loc_and_scale(self.auxiliary(x))
        with pyro.plate("data", x.shape[0], dim=-1):
            a = pyro.sample("a", dist.Normal(loc, scale).to_event(1))
            y = pyro.sample("y", dist.OneHotCategorical(logits=self.classifier(x, a)), infer={"enumerate": "parallel"})
            loc, scale = loc_and_scale(self.encoder(x, a, y))
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))
