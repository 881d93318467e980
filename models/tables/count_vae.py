"""The generative model of counts whose means are scaled by a size of each datum."""

from __future__ import annotations

import inspect

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.distributions import LogNormal
from pyrovae.distributions.likelihoods import Multinomial
from pyrovae.errors import OptionError
from pyrovae.nets import float_zeros

__all__ = ["CountVAE"]


class CountVAE(nn.Module):
    """p(x, z | l) = N(z; 0, I_d) p(x | l, decoder(z)): counts whose mean is l softmax(h), h of the decoder.

    l is the size of a datum, its total number of counts: the key ``size`` of the batch, or a latent site.

        p(x, z, l) = LogNormal(l; m, s^2) N(z; 0, I_d) p(x | l, decoder(z)),   m and s learned

    Sites: ``z``, (d,); ``l``, (1,), where it is latent; ``x``, (D,).

    Args:
        decoder: (..., d) to the parameters of the likelihood, (..., P, D), the first of which are h.
        likelihood: of counts, whose first parameter is the logarithm of the mean (:mod:`pyrovae.distributions.likelihoods`).
        latent_dim: d.
        start_size: where exp(m) starts, and with it that l is latent; None takes ``size`` from the batch.

    References: Lopez et al., Deep Generative Modeling for Single-cell Transcriptomics, 2018, Methods.
    """

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int, start_size: float | None = None) -> None:
        super().__init__()
        if isinstance(likelihood, Multinomial):
            raise OptionError(
                "likelihood 'multinomial' scores counts given their total, and no size changes that: use pair vae."
            )
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim
        self.is_latent = start_size is not None
        self.quantity = "log p(x)" if self.is_latent else "log p(x | size)"
        taken = ["x"] if self.is_latent else ["x", "size"]
        self.__signature__ = inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in taken])
        if start_size is not None:
            self.size_loc = nn.Parameter(torch.tensor([float(start_size)]).log())
            self.size_log_scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, size: Tensor | None = None) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            if self.is_latent:
                size = pyro.sample("l", LogNormal(self.size_loc, self.size_log_scale.exp()).to_event(1)).squeeze(-1)
            h = self.decoder(z)
            shares = h[..., :1, :].log_softmax(-1)
            h = torch.cat([size.log()[..., None, None] + shares, h[..., 1:, :]], -2)
            pyro.sample("x", self.likelihood(h), obs=x)
