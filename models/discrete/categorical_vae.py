"""The categorical VAE's generative model: one-hot vectors or bits, decoded."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import float_zeros

__all__ = ["CategoricalVAE"]


class CategoricalVAE(nn.Module):
    """p(x, z) = C^-N p(x | decoder(z)), z of N variables of C classes each, uniform a priori.

    Sites: ``z``, (N, C) one-hot, or (N,) bits where C = 2; ``x``, the shape of a datum.

    Args:
        decoder: (..., N C), or (..., N) bits, to the parameters of the likelihood.
        likelihood: those parameters to a distribution of x.
        num_variables: N.
        num_classes: C.

    References: Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, 2017, Section 4.2; Maddison, Mnih and
    Teh, The Concrete Distribution, 2017, Section 5.2.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, num_variables: int, num_classes: int) -> None:
        super().__init__()
        self.decoder, self.likelihood = decoder, likelihood
        self.num_variables, self.num_classes = num_variables, num_classes

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        bits = self.num_classes == 2
        logits = float_zeros(x, self.num_variables, *([] if bits else [self.num_classes]))
        prior = dist.Bernoulli(logits=logits) if bits else dist.OneHotCategorical(logits=logits)
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", prior.to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(z if bits else z.flatten(-2))), obs=x)
