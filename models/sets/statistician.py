"""The neural statistician's generative model: a context of a set, and latents of each item."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.distributions import mask_distribution
from pyrovae.nets import float_zeros, items_there, loc_and_scale, of_items

__all__ = ["Statistician"]


class Statistician(nn.Module):
    """p(x, z, c) = N(c; 0, I) prod_i p(z_iL | c) ... p(z_i1 | z_i2, c) p(x_i | z_i1..L, c), of the n items of a set.

    A set is one datum. Items beyond ``lengths`` score nothing.

    Sites: ``c``, (d_c,); ``zL``, ..., ``z1``, (n, d) each; ``x``, (n, *shape).

    Args:
        priors: of zL, ..., z1: c, and the layer above where there is one, to (..., 2d), for
            :func:`~pyrovae.nets.loc_and_scale`.
        decoder: c, zL, ..., z1 to the parameters of the likelihood of one item.
        likelihood: those parameters to a distribution of one item.
        context_dim: d_c.

    References: Edwards and Storkey, Towards a Neural Statistician, 2017, Section 3.3.
    """

    def __init__(self, priors: Sequence[nn.Module], decoder: nn.Module, likelihood: nn.Module, context_dim: int) -> None:
        super().__init__()
        self.priors = nn.ModuleList(priors)
        self.decoder, self.likelihood, self.context_dim = decoder, likelihood, context_dim

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> None:
        """Run the model, p, on a batch of B sets, (B, n, *shape)."""
        there, layers = items_there(x, lengths), len(self.priors)
        with pyro.plate("data", x.shape[0], dim=-1):
            c = pyro.sample("c", dist.Normal(float_zeros(x, self.context_dim), 1.0).to_event(1))
            context, z = c.unsqueeze(-2), []
            for number, prior in enumerate(self.priors):
                parameters = of_items(*loc_and_scale(prior(context, *z[-1:])), x.shape[1], there)
                z.append(pyro.sample(f"z{layers - number}", dist.Normal(*parameters).to_event(2)))
            fn = self.likelihood(self.decoder(context, *z)).to_event(1)
            if there is not None:
                fn = mask_distribution(fn, there.reshape(*there.shape, *[1] * (x.dim() - 2)).expand_as(x))
            pyro.sample("x", fn, obs=x)
