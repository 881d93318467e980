"""The generative model of an image as another one, moved by a field of displacements."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from pyrovae.nets import as_float, float_zeros, warp

__all__ = ["FlowFieldVAE"]


class FlowFieldVAE(nn.Module):
    """p(x, z | source) = N(z; 0, I) p(x | source(u + f(u))), f = flow(z, source) in pixels.

    Sites: ``z``, (d,); ``x``, the shape of a datum.

    Args:
        decoder: z and source to the flow, (..., 2, H, W), of the row and of the column.
        likelihood: the moved source, (..., 1, *shape), to a distribution of x about it.
        latent_dim: d.

    References: Yeh, Liu, Goldman and Agarwala, Semantic Facial Expression Editing using Autoencoded Flow, 2016.
    """

    quantity = "log p(x | source)"  # what its evidence is of

    def __init__(self, decoder: nn.Module, likelihood: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.decoder, self.likelihood, self.latent_dim = decoder, likelihood, latent_dim

    def flow(self, z: Tensor, source: Tensor) -> Tensor:
        """f, (..., 2, H, W), in pixels: where in the source each pixel is read, less its own place."""
        field: Tensor = self.decoder(z, source)
        return field

    def moved(self, source: Tensor, flow: Tensor) -> Tensor:
        """The source read at u + f(u), (..., *shape)."""
        channels = source.dim() - 3
        return warp(as_float(source), flow.reshape(*flow.shape[:-3], *[1] * channels, *flow.shape[-3:]))

    def forward(self, x: Tensor, source: Tensor) -> None:
        """Run the model, p, on a batch of B data."""
        with pyro.plate("data", x.shape[0], dim=-1):
            z = pyro.sample("z", dist.Normal(float_zeros(x, self.latent_dim), 1.0).to_event(1))
            mean = self.moved(source, self.flow(z, source))
            pyro.sample("x", self.likelihood(mean.unsqueeze(-source.dim())), obs=x)
