"""A class that is seen, and a style."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["AAEStyle"]


class AAEStyle(nn.Module):
    """p(x, y, z) = Cat(y; 1/C) N(z; 0, I_d) p(x | decoder(z, one-hot y)), y observed.

    Sites: ``z``, (d,); ``y``, a whole number from 0 to C - 1; ``x``, the shape of a datum.

    Args:
        decoder: (..., d) and (..., C) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: d.
        num_classes: C.

    Attributes:
        quantity: what its evidence is of.

    References: Makhzani et al., Adversarial Autoencoders, 2016, Section 4.
    """

    quantity = "log p(x, y)"

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, num_classes: int) -> None:
        super().__init__()
        self.decoder, self.likelihood = decoder, likelihood
        self.latent_dim, self.num_classes = latent_dim, num_classes

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Run the model, p, on a batch of B data and their classes, (B,)."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            y = pyro.sample("y", dist.Categorical(logits=float_zeros(x, self.num_classes)), obs=y)
            one_hot = (y.unsqueeze(-1) == torch.arange(self.num_classes, device=x.device)).to(z.dtype)
            pyro.sample("x", self.likelihood(self.decoder(z, one_hot)), obs=x)
