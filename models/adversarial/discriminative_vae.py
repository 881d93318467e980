"""A VAE that also has to explain what a classifier sees of its data."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["DiscriminativeVAE"]

MIN_SCALE = 1e-3


class DiscriminativeVAE(nn.Module):
    """p(x, h, z) = N(z; 0, I_d) p(x | decoder(z)) prod_l N(h_l; f_l(mu(z)), diag s_l^2), mu(z) the mean of p(x | z).

    Sites: ``z``, (d,); ``x``, the shape of a datum; ``h1`` to ``hL``, (m_l,), given h_l = f_l(x), the features that the
    layers of a classifier have of x. Their scales s_l are learned, one for each feature. What is scored is the density of x
    and of h as if they were measured apart: log p(x) alone is that of the model without the feature sites,
    ``pyrovae.effects.without_sites(pair, "h1", ..., "hL")``.

    Args:
        decoder: (..., d) to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x with a mean (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: d.
        classifier: has ``features(x)``, L tensors (..., m_l), and ``feature_dims``, their m_l.

    Attributes:
        quantity: what its evidence is of.

    References: Lamb, Dumoulin and Courville, Discriminative Regularization for Generative Models, 2016, Section 3.
    """

    quantity = "log p(x, h)"

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, classifier: nn.Module) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim
        self.classifier = classifier
        self.log_scales = nn.ParameterList(torch.zeros(m) for m in classifier.feature_dims)

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            pixels = self.likelihood(self.decoder(z))
            x = pyro.sample("x", pixels, obs=x)
            pairs = zip(self.classifier.features(x), self.classifier.features(pixels.mean), self.scales, strict=True)
            for number, (seen, meant, scale) in enumerate(pairs, 1):
                pyro.sample(f"h{number}", dist.Normal(meant, scale).to_event(1), obs=seen)

    @property
    def scales(self) -> list[Tensor]:
        """s_l, (m_l,) each, above 0.001, which bounds the density of features that never change."""
        return [log_scale.exp() + MIN_SCALE for log_scale in self.log_scales]
