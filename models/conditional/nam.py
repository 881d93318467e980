"""The generative model of a domain as the image of another one, whose generator stands still."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["NAM"]


class NAM(nn.Module):
    """p(x, z) = N(z; 0, I) p(x | T(G(z))), G a trained generator's mean image of the other domain, T a learned map.

    Sites: ``z``, (d,); ``x``, the shape of a datum.

    Args:
        generator: z to the parameters of ``generated``, (..., P, *shape of the other domain).
        generated: those parameters to a distribution, whose mean is the image.
        mapping: T, an image of the other domain to (..., 1, *shape).
        likelihood: that to a distribution of x about it.
        latent_dim: d.

    References: Hoshen, Non-Adversarial Mapping with VAEs, 2018; Hoshen and Wolf, NAM: Non-Adversarial Unsupervised Domain
    Mapping, 2018.
    """

    def __init__(
        self, generator: nn.Module, generated: nn.Module, mapping: nn.Module, likelihood: nn.Module, latent_dim: int
    ) -> None:
        super().__init__()
        self.generator, self.generated, self.mapping = generator, generated, mapping
        self.likelihood, self.latent_dim = likelihood, latent_dim

    def image(self, z: Tensor) -> Tensor:
        """G(z), (..., *shape of the other domain): at the code of an x, what x is mapped to."""
        mean: Tensor = self.generated(self.generator(z)).mean
        return mean

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            pyro.sample("x", self.likelihood(self.mapping(self.image(z))), obs=x)
