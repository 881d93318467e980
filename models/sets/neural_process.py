"""The neural process's generative model: values of a function given some of them, through one latent of the function."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.distributions import mask_distribution
from pyrovae.nets import SetEncoder, items_there, loc_and_scale

__all__ = ["NeuralProcess"]


class NeuralProcess(nn.Module):
    """p(x, z | u, context) = N(z; r(context)) prod_i p(x_i | u_i, z), x_i of a function at inputs u_i, scored where not given.

    The context are pairs (u_i, x_i) that are given, r their pooled features; so the log density of x is
    log p(x_rest | context), with a prior of z that the context has moved. Points beyond ``lengths`` score nothing.

    Sites: ``z``, (d,); ``x``, (n, *shape).

    Args:
        encoder: inputs, values and which of them are given to (..., 2d), for :func:`~pyrovae.nets.loc_and_scale`.
        decoder: one input and z to the parameters of the likelihood of one value.
        likelihood: those parameters to a distribution of one value.

    References: Garnelo et al., Neural Processes, 2018, Eq. (7), whose q(z | context) is a prior here, so that the bound is one
    on a density.
    """

    quantity = "log p(x | context)"  # what its evidence is of

    def __init__(self, encoder: SetEncoder, decoder: nn.Module, likelihood: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood

    def forward(self, x: Tensor, condition: Tensor, c: Tensor, given: Tensor, lengths: Tensor | None = None) -> None:
        """Run the model, p, on a batch of B functions: x, c and given (B, n, *shape), condition (B, n, d_u)."""
        there, known = items_there(x, lengths), given.flatten(2)[..., 0]
        loc, scale = loc_and_scale(self.encoder(condition, c, weights=known if there is None else known * there))
        asked = given == 0 if there is None else (given == 0) & there.reshape(*there.shape, *[1] * (x.dim() - 2))
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(loc, scale).to_event(1))
            fn = self.likelihood(self.decoder(condition, z.unsqueeze(-2))).to_event(1)
            pyro.sample("x", mask_distribution(fn, asked), obs=x)
