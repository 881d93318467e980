"""The deep Markov model, in steps."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from pyrovae.nets import GatedTransition

__all__ = ["DMM"]


class DMM(nn.Module):
    """p(x, z) = prod_t p(z_t | z_t-1) p(x_t | z_t), z_t Gaussian of the gated transition, z_0 learned.

    Sites of a step: ``z``, (d,); ``x``, the shape of a step's data.

    Args:
        transition: z_t-1 to the mean and scale of z_t, (..., d).
        decoder: z_t to the parameters of the likelihood, (..., P, *shape).
        likelihood: those parameters to a distribution of x_t.
        latent_dim: d.

    References: Krishnan, Shalit and Sontag, Structured Inference Networks for Nonlinear State Space Models, 2017.
    """

    def __init__(self, transition: GatedTransition, decoder: nn.Module, likelihood: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.transition, self.decoder, self.likelihood = transition, decoder, likelihood
        self.z_0 = nn.Parameter(torch.zeros(latent_dim))

    def init(self, x: Tensor) -> dict[str, Tensor]:
        """z_0 of every datum, (B, d)."""
        return {"z": self.z_0.expand(len(x), -1)}

    def step(self, state: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """One step of the model, p, on x_t."""
        z = pyro.sample("z", dist.Normal(*self.transition(state["z"])).to_event(1))
        pyro.sample("x", self.likelihood(self.decoder(z)), obs=x)
        return {"z": z}
