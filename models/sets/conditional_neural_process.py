"""The conditional neural process: values of a function given some of them, independent of each other given these."""

from __future__ import annotations

import pyro
from torch import Tensor, nn

from pyrovae.distributions import mask_distribution
from pyrovae.nets import SetEncoder, items_there

__all__ = ["ConditionalNeuralProcess"]


class ConditionalNeuralProcess(nn.Module):
    """p(x | u, context) = prod_i p(x_i | u_i, r(context)), exact, the x_i of a function at inputs u_i, scored where not given.

    No latent: what it draws at two inputs is independent given the context. Points beyond ``lengths`` score nothing.

    Site: ``x``, (n, *shape).

    Args:
        encoder: inputs, values and which of them are given to r, (..., R).
        decoder: one input and r to the parameters of the likelihood of one value.
        likelihood: those parameters to a distribution of one value.

    References: Garnelo et al., Conditional Neural Processes, 2018, Eq. (2).
    """

    quantity = "log p(x | context)"  # what its evidence is of

    def __init__(self, encoder: SetEncoder, decoder: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood

    def forward(self, x: Tensor, condition: Tensor, c: Tensor, given: Tensor, lengths: Tensor | None = None) -> None:
        """Run the model, p, on a batch of B functions: x, c and given (B, n, *shape), condition (B, n, d_u)."""
        there, known = items_there(x, lengths), given.flatten(2)[..., 0]
        r = self.encoder(condition, c, weights=known if there is None else known * there)
        asked = given == 0 if there is None else (given == 0) & there.reshape(*there.shape, *[1] * (x.dim() - 2))
        with pyro.plate("data", x.shape[0], dim=-1):
            fn = self.likelihood(self.decoder(condition, r.unsqueeze(-2))).to_event(1)
            pyro.sample("x", mask_distribution(fn, asked), obs=x)
