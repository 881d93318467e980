"""A model of data without latents, one value after another."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
from torch import Tensor, nn

from pyrovae.distributions import AutoregressiveBernoulli, AutoregressiveGaussian

__all__ = ["Autoregressive"]


class Autoregressive(nn.Module):
    """p(x) = prod_t p(x_t | x_1, ..., x_t-1), exact, of steps beyond ``lengths`` none.

    Site: ``x``, the shape of a datum.

    Args:
        network: causal, (..., T, D) to (..., T, P) (:mod:`pyrovae.nets.causal`).
        shape: of a datum.
        family: the distribution of x, of bits or of real numbers.

    References: Germain et al., MADE: Masked Autoencoder for Distribution Estimation, 2015, Eq. (1).
    """

    def __init__(
        self, network: nn.Module, shape: Sequence[int], family: type[AutoregressiveBernoulli] | type[AutoregressiveGaussian]
    ) -> None:
        super().__init__()
        self.network, self.shape, self.family = network, tuple(shape), family

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            pyro.sample("x", self.family(self.network, self.shape, lengths=lengths), obs=x)
