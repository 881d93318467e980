"""The sigmoid belief network's generative model: layers of bits, each given the one above."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

__all__ = ["SBN"]


class SBN(nn.Module):
    """p(x, z) = p(z_L) p(z_L-1 | z_L) ... p(z_1 | z_2) p(x | z_1), each z_l of n bits.

        z_L ~ Bernoulli(sigmoid(b)),   z_l | z_l+1 ~ Bernoulli(sigmoid(f_l(2 z_l+1 - 1))),   x | z_1 by decoder(2 z_1 - 1)

    Sites: ``zL``, ..., ``z1``, (n,) each; ``x``, the shape of a datum.

    Args:
        layers: f_L-1, ..., f_1, from the uppermost down, (..., n) to (..., n).
        decoder: (..., n) to the parameters of the likelihood.
        likelihood: those parameters to a distribution of x.
        latent_dim: n.

    References: Neal, Connectionist Learning of Belief Networks, 1992; Mnih and Gregor, Neural Variational Inference and
    Learning in Belief Networks, 2014, Section 4.
    """

    def __init__(self, layers: Sequence[nn.Module], decoder: nn.Module, likelihood: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.layers, self.decoder, self.likelihood = nn.ModuleList(layers), decoder, likelihood
        self.prior = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, x: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        top = len(self.layers) + 1
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample(f"z{top}", dist.Bernoulli(logits=self.prior).to_event(1))
            for number, layer in zip(range(top - 1, 0, -1), self.layers, strict=True):
                z = pyro.sample(f"z{number}", dist.Bernoulli(logits=layer(2 * z - 1)).to_event(1))
            pyro.sample("x", self.likelihood(self.decoder(2 * z - 1)), obs=x)
