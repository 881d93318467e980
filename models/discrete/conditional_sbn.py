"""The conditional sigmoid belief network's generative model: layers of bits given a condition, and x given them."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.distributions import mask_distribution

__all__ = ["ConditionalSBN"]


class ConditionalSBN(nn.Module):
    """p(x, z | c) = p(z_L | c) p(z_L-1 | z_L) ... p(z_1 | z_2) p(x | z_1), x scored where it is not given.

        z_L | c ~ Bernoulli(sigmoid(f(c))),   z_l | z_l+1 ~ Bernoulli(sigmoid(f_l(2 z_l+1 - 1))),   x | z_1 by the decoder

    Sites: ``zL``, ..., ``z1``, (n,) each; ``x``, the shape of a datum.

    Args:
        prior: f, c and given to (..., n).
        layers: f_L-1, ..., f_1, from the uppermost down, (..., n) to (..., n).
        decoder: (..., n) to the parameters of the likelihood.
        likelihood: those parameters to a distribution of x.

    References: Raiko, Berglund, Alain and Dinh, Techniques for Learning Binary Stochastic Feedforward Neural Networks, 2015;
    Jang, Gu and Poole, Categorical Reparameterization with Gumbel-Softmax, 2017, Section 4.1.
    """

    quantity = "log p(x | c)"  # what its evidence is of

    def __init__(self, prior: nn.Module, layers: Sequence[nn.Module], decoder: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        self.prior, self.layers = prior, nn.ModuleList(layers)
        self.decoder, self.likelihood = decoder, likelihood

    def forward(self, x: Tensor, c: Tensor, given: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        top, logits = len(self.layers) + 1, self.prior(c, given)
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample(f"z{top}", dist.Bernoulli(logits=logits).to_event(1))
            for number, layer in zip(range(top - 1, 0, -1), self.layers, strict=True):
                z = pyro.sample(f"z{number}", dist.Bernoulli(logits=layer(2 * z - 1)).to_event(1))
            pyro.sample("x", mask_distribution(self.likelihood(self.decoder(2 * z - 1)), given == 0), obs=x)
