"""Topic models: each document mixes topics in shares of its own."""

from __future__ import annotations

from typing import Literal

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

__all__ = ["LDAVAE"]


class LDAVAE(nn.Module):
    """p(words, theta) = p(theta) p(words | decoder(theta)), theta the shares of K topics, on the simplex.

    theta ~ Dirichlet(alpha), or its Laplace approximation in the basis of the softmax,

        z ~ N(mu, diag S),   theta = softmax(z),   mu_k = 0,   S_kk = (1 - 1/K) / alpha     (all K alphas alike)

    Sites: ``z``, (K,), which is theta itself where the prior is the Dirichlet; ``x``, counts of V words.

    Args:
        decoder: shares (..., K) to the parameters of the likelihood, (..., P, V).
        likelihood: those parameters to a distribution of counts (:mod:`pyrovae.distributions.likelihoods`).
        num_topics: K.
        concentration: alpha.
        prior: laplace or dirichlet.

    References: Srivastava and Sutton, Autoencoding Variational Inference for Topic Models, 2017, Section 3.2.
    """

    def __init__(
        self,
        decoder: nn.Module,
        likelihood: nn.Module,
        num_topics: int,
        concentration: float = 1.0,
        prior: Literal["laplace", "dirichlet"] = "laplace",
    ) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.prior = decoder, likelihood, prior
        self.register_buffer("alpha", torch.full((num_topics,), float(concentration)))

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B documents."""
        with pyro.plate("data", x.shape[0], dim=-1):
            if self.prior == "dirichlet":
                theta = pyro.sample("z", dist.Dirichlet(self.alpha))
            else:
                scale = ((1 - 1 / len(self.alpha)) / self.alpha).sqrt()
                theta = pyro.sample("z", dist.Normal(torch.zeros_like(scale), scale).to_event(1)).softmax(-1)
            pyro.sample("x", self.likelihood(self.decoder(theta)), obs=x)
